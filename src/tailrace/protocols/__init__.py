"""HOW IT IS SPOKEN: one folder per wire protocol, both directions. Pure: no I/O, clock or chance."""
