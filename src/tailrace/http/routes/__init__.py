"""One thin file per surface: decode, run or resume, encode."""
