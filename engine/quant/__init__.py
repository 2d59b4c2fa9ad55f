"""Pure maths on float64 arrays: no state, no clock, no money types; undefined is NaN, never 0 and never infinity."""
