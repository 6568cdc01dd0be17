// What is searched for: metrics and runs.

const MANY = 100; // searches that are kept ready
const ready = new Map();

/** Return the test of a search: it searches by a pattern, or by plain text where that is not a pattern. */
export function searcher(query) {
  if (ready.size > MANY) ready.clear();
  if (!ready.has(query)) ready.set(query, newSearcher(query));
  return ready.get(query);
}

function newSearcher(query) {
  try {
    const pattern = new RegExp(query, "i");
    return (text) => pattern.test(text);
  } catch {
    return (text) => text.toLowerCase().includes(query.toLowerCase());
  }
}
