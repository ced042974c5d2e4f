-- Makes the schema.
-- parameters: none    rows: none
create schema if not exists {schema}
