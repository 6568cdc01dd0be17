"""What tests of the dashboard share."""

from helpers.browser import browser, open_page, playwright

__all__ = ["browser", "open_page", "playwright"]
