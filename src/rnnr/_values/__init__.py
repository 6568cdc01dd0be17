"""Values as trees and arrays: packed, written, read back, put in place."""
