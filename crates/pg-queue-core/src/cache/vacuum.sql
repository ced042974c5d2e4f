-- Lets what was removed be written over. A user who may not do that gets a warning, and no error.
-- parameters: none    rows: none    locks: the table against being altered
vacuum {cache}
