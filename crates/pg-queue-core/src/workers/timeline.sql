-- The timeline of the server's log: another one after every failover, the same after a restart.
-- parameters: none    rows: one
select substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)
