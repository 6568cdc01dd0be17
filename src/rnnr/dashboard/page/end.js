// How the page learns of the end: a script's process is gone before the page would ask again.
//
// A browser opens six connections to a host, and each parked request holds one. So one window of a
// browser parks for all of them, and passes on what it hears.

const NAME = `rnnr end ${location.pathname}`;
const [PARK, BEAT] = [20_000, 2_000]; // milliseconds: the server answers a parked request after 25 s

/** The name of this window, by which the server knows which requests are of one page. */
export const own = Math.random().toString(36).slice(2);

const channel = new BroadcastChannel(NAME);
let waiting = false;

/** Call `ended` with the last answer and curves: `hear` gets them from the server, if this window parks. */
export async function awaitEnd(hear, ended) {
  channel.onmessage = ({ data }) => (data.beat ? heardBeat(data) : ended(data.answer, data.curves));
  if (waiting) return;
  waiting = true;
  const parked = async () => {
    const answer = await park();
    if (!answer) return;
    const curves = await hear(answer, await areOthers());
    channel.postMessage({ answer, curves });
    ended(answer, curves);
  };
  try {
    await (navigator.locks ? navigator.locks.request(NAME, parked) : inTurn(parked));
  } finally {
    waiting = false;
  }
}

async function areOthers() {
  if (!navigator.locks) return others.size > 0;
  const { pending } = await navigator.locks.query();
  return pending.some(({ name }) => name === NAME);
}

let abort = null; // ends what is parked

/** Wait for the end; return the last answer, or null if the server cannot be reached or refuses. */
function park() {
  abort = new AbortController();
  const { signal } = abort;
  return new Promise((resolve) => {
    let [n, next] = [0, null];
    const ask = async () => {
      if (n >= 2) return; // the server is late: a third would take the connections of other requests
      n += 1;
      clearTimeout(next);
      next = setTimeout(ask, PARK); // before this one ends, so that there is no gap
      const answer = await askOnce(signal);
      n -= 1;
      if (answer === undefined) return n || ask();
      clearTimeout(next);
      resolve(answer);
    };
    ask();
  });
}

/** Return the answer at the end, null if there will be none, or undefined if the server asks to come back. */
async function askOnce(signal) {
  try {
    const response = await fetch(`end?page=${own}`, { cache: "no-store", signal });
    if (response.status === 204) return undefined;
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}

// Where there are no locks (an address that is not secure), the visible window with the least name parks. It goes on
// when it is hidden, unless it has heard another one.

const others = new Map(); // name of a window -> when it was heard

function heardBeat({ beat, isParking }) {
  others.set(beat, performance.now());
  if (isParking && beat < own) abort?.abort();
}

function forgetSilent() {
  for (const [name, at] of others) if (performance.now() - at > 3 * BEAT) others.delete(name);
}

async function inTurn(parked) {
  channel.postMessage({ beat: own, isParking: false });
  await new Promise((go) => setTimeout(go, BEAT / 2));
  forgetSilent();
  const isMine = !document.hidden && [...others.keys()].every((name) => own < name);
  if (!isMine) return;
  const beats = setInterval(() => channel.postMessage({ beat: own, isParking: true }), BEAT);
  const hide = () => {
    forgetSilent();
    if (document.hidden && others.size) abort?.abort();
  };
  document.addEventListener("visibilitychange", hide);
  await parked();
  clearInterval(beats);
  document.removeEventListener("visibilitychange", hide);
}
