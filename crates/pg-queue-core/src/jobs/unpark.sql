-- Lets jobs run again that were parked because nobody ran their kinds.
-- parameters: $1 the kinds that somebody runs now (null: all), $2 how many jobs at most    rows: the ids
-- index: pg_queue_park_*    locks: the rows; skips locked ones
update {queue} as job
set parked = null
where job.id = any (array(
    select parked.id
    from {queue} as parked
    where parked.parked is not null and parked.parked = 'kind' and ($1::text[] is null or parked.kind = any ($1))
    limit $2
    for update skip locked
))
returning job.id
