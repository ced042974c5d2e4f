//! Which moments an expression means in a zone: read off the law of the land, not computed.

use std::time::{Instant, SystemTime};

use pg_queue_client::{InvalidCron, next_times};

const VIENNA: &str = "Europe/Vienna";
const NEW_YORK: &str = "America/New_York";

/// A moment by what a clock shows and how far that is from UTC; no zone is looked up.
fn moment(text: &str) -> SystemTime {
    text.parse::<jiff::Timestamp>().unwrap().into()
}

fn times(expression: &str, timezone: &str, after: &str, count: usize) -> Vec<SystemTime> {
    next_times(expression, timezone, moment(after), count).unwrap()
}

/// The next times after a moment are these, one after the other.
fn assert_times(expression: &str, timezone: &str, after: &str, expected: &[&str]) {
    let expected: Vec<_> = expected.iter().map(|text| moment(text)).collect();
    assert_eq!(times(expression, timezone, after, expected.len()), expected, "{expression} in {timezone}");
}

#[test]
fn in_the_gap_of_vienna_a_fixed_time_comes_right_after_it_and_the_others_do_not() {
    // 2026-03-29: after 01:59:59 (+01) comes 03:00:00 (+02).
    let before = "2026-03-28T12:00:00+01:00";
    assert_times(
        "30 2 * * *",
        VIENNA,
        before,
        &["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00", "2026-03-31T02:30:00+02:00"],
    );
    assert_times("0 3 * * *", VIENNA, before, &["2026-03-29T03:00:00+02:00", "2026-03-30T03:00:00+02:00"]);
    assert_times(
        "0 */2 * * *",
        VIENNA,
        "2026-03-28T21:00:00+01:00",
        &[
            "2026-03-28T22:00:00+01:00",
            "2026-03-29T00:00:00+01:00",
            "2026-03-29T04:00:00+02:00",
            "2026-03-29T06:00:00+02:00",
        ],
    );
    assert_times(
        "30 * * * *",
        VIENNA,
        "2026-03-29T00:00:00+01:00",
        &[
            "2026-03-29T00:30:00+01:00",
            "2026-03-29T01:30:00+01:00",
            "2026-03-29T03:30:00+02:00",
            "2026-03-29T04:30:00+02:00",
        ],
    );
    // A list is not one time.
    assert_times("30 2,14 * * *", VIENNA, before, &["2026-03-28T14:30:00+01:00", "2026-03-29T14:30:00+02:00"]);
}

#[test]
fn in_the_repeat_of_vienna_a_fixed_time_comes_first_and_the_others_come_twice() {
    // 2026-10-25: after 02:59:59 (+02) comes 02:00:00 (+01).
    let before = "2026-10-24T12:00:00+02:00";
    assert_times(
        "30 2 * * *",
        VIENNA,
        before,
        &["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00", "2026-10-27T02:30:00+01:00"],
    );
    assert_times(
        "0 */2 * * *",
        VIENNA,
        "2026-10-24T23:00:00+02:00",
        &[
            "2026-10-25T00:00:00+02:00",
            "2026-10-25T02:00:00+02:00",
            "2026-10-25T02:00:00+01:00",
            "2026-10-25T04:00:00+01:00",
        ],
    );
    assert_times(
        "*/30 * * * *",
        VIENNA,
        "2026-10-25T01:30:00+02:00",
        &[
            "2026-10-25T02:00:00+02:00",
            "2026-10-25T02:30:00+02:00",
            "2026-10-25T02:00:00+01:00",
            "2026-10-25T02:30:00+01:00",
            "2026-10-25T03:00:00+01:00",
        ],
    );
    // Between its two halves, the second one is still to come for those that come twice.
    assert_times("30 2 * * *", VIENNA, "2026-10-25T02:45:00+02:00", &["2026-10-26T02:30:00+01:00"]);
    assert_times("30 * * * *", VIENNA, "2026-10-25T02:45:00+02:00", &["2026-10-25T02:30:00+01:00"]);
}

#[test]
fn in_the_gap_of_new_york_a_fixed_time_comes_right_after_it_and_the_others_do_not() {
    // 2026-03-08: after 01:59:59 (-05) comes 03:00:00 (-04).
    let before = "2026-03-07T12:00:00-05:00";
    assert_times("30 2 * * *", NEW_YORK, before, &["2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"]);
    assert_times("30 2 * * sun", NEW_YORK, before, &["2026-03-08T03:00:00-04:00", "2026-03-15T02:30:00-04:00"]);
    assert_times(
        "0 */2 * * *",
        NEW_YORK,
        "2026-03-07T23:00:00-05:00",
        &["2026-03-08T00:00:00-05:00", "2026-03-08T04:00:00-04:00"],
    );
    assert_times(
        "15 * * * *",
        NEW_YORK,
        "2026-03-08T01:00:00-05:00",
        &["2026-03-08T01:15:00-05:00", "2026-03-08T03:15:00-04:00"],
    );
}

#[test]
fn in_the_repeat_of_new_york_a_fixed_time_comes_first_and_the_others_come_twice() {
    // 2026-11-01: after 01:59:59 (-04) comes 01:00:00 (-05).
    let before = "2026-10-31T12:00:00-04:00";
    assert_times("30 1 * * *", NEW_YORK, before, &["2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"]);
    assert_times("30 1 * * sun", NEW_YORK, before, &["2026-11-01T01:30:00-04:00", "2026-11-08T01:30:00-05:00"]);
    assert_times(
        "0 1-23/2 * * *",
        NEW_YORK,
        "2026-10-31T23:30:00-04:00",
        &["2026-11-01T01:00:00-04:00", "2026-11-01T01:00:00-05:00", "2026-11-01T03:00:00-05:00"],
    );
    assert_times(
        "30 * * * *",
        NEW_YORK,
        "2026-11-01T01:00:00-04:00",
        &["2026-11-01T01:30:00-04:00", "2026-11-01T01:30:00-05:00", "2026-11-01T02:30:00-05:00"],
    );
}

#[test]
fn a_clock_that_is_changed_by_half_an_hour_is_understood() {
    // Lord Howe, 2026-10-04: after 01:59:59 (+10:30) comes 02:30:00 (+11).
    assert_times(
        "15 2 * * *",
        "Australia/Lord_Howe",
        "2026-10-03T12:00:00+10:30",
        &["2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"],
    );
}

#[test]
fn expressions_mean_what_they_say() {
    let new_year = "2026-12-31T23:59:59Z";
    for (expression, expected) in [
        ("0 9 * * mon-fri", ["2027-01-01T09:00:00Z", "2027-01-04T09:00:00Z"]),
        ("0 9 * * 7", ["2027-01-03T09:00:00Z", "2027-01-10T09:00:00Z"]),
        ("  0 9 1 JAN,jul *  ", ["2027-01-01T09:00:00Z", "2027-07-01T09:00:00Z"]),
        ("*/20 * * * * *", ["2027-01-01T00:00:00Z", "2027-01-01T00:00:20Z"]),
        ("0 0 13 * fri", ["2027-01-01T00:00:00Z", "2027-01-08T00:00:00Z"]),
        ("0 0 13 * +fri", ["2027-08-13T00:00:00Z", "2028-10-13T00:00:00Z"]),
        ("0 0 L * *", ["2027-01-31T00:00:00Z", "2027-02-28T00:00:00Z"]),
        ("0 0 * * 5L", ["2027-01-29T00:00:00Z", "2027-02-26T00:00:00Z"]),
        ("0 0 * * mon#2", ["2027-01-11T00:00:00Z", "2027-02-08T00:00:00Z"]),
        ("0 0 15W 5 *", ["2027-05-14T00:00:00Z", "2028-05-15T00:00:00Z"]),
        ("0 0 29 2 *", ["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]),
        ("@Weekly", ["2027-01-03T00:00:00Z", "2027-01-10T00:00:00Z"]),
    ] {
        assert_times(expression, "UTC", new_year, &expected);
    }
    // Within a second, the next one is the next.
    assert_times("* * * * * *", "UTC", "2027-01-01T00:00:00.5Z", &["2027-01-01T00:00:01Z"]);
    assert_eq!(times("* * * * *", "UTC", new_year, 0), []);
    assert_eq!(times("* * * * *", "UTC", new_year, usize::MAX).len(), 10_000);
}

#[test]
fn what_cannot_be_read_is_an_error_that_says_where_and_why() {
    let long = format!("{} * * * *", vec!["1"; 300].join(","));
    for (expression, reason) in [
        ("", "it is empty"),
        ("\n ", "it is empty"),
        ("0 9 * *", "it has 4 of 5 fields, or 6 with the second before the minute"),
        ("0 0 9 * * * 2027", "it has 7 of 5 fields, or 6 with the second before the minute"),
        ("60 9 * * *", "minute \"60\": number out of bounds"),
        ("0 9 * * mon-fry", "day of the week \"mon-fry\": contains illegal character 'F' in part '1-FRY'"),
        ("0 9 * * 8", "day of the week \"8\": number out of bounds"),
        ("60 0 9 * * *", "second \"60\": number out of bounds"),
        ("0 9 0 * *", "day of the month \"0\": number out of bounds"),
        ("0 9 * 13 *", "month \"13\": number out of bounds"),
        ("0 17-9 * * *", "hour \"17-9\": range out of bounds"),
        ("*/0 * * * *", "minute \"*/0\": step cannot be zero"),
        ("0 9 * * mon\0", "day of the week \"mon\\0\": contains illegal character '\0' in part '1\0'"),
        ("@noon", "there is no such word: there are @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly"),
        (&long, "it has 607 bytes, of at most 500"),
    ] {
        let error = next_times(expression, VIENNA, SystemTime::UNIX_EPOCH, 1).unwrap_err();
        let InvalidCron::Expression { reason: found, .. } = &error else { panic!("{expression:?}: {error}") };
        assert_eq!(found, reason, "{expression:?}");
        let shown: String = expression.trim().chars().take(80).collect();
        assert_eq!(error.to_string(), format!("the cron expression {shown:?} cannot be read: {reason}"));
    }
}

#[test]
fn what_never_fires_is_found_out_soon() {
    let began = Instant::now();
    for expression in [
        "0 0 30 2 *",
        "* * * 30 2 *",
        "0 0 31 2,4,6,9,11 *",
        "0 0 1 1 +sun#5",
        // Every last Sunday of March the clock of Vienna passes over these.
        "*/10 2 * 3 sunL",
    ] {
        let error = next_times(expression, VIENNA, SystemTime::now(), 1).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("the cron expression {expression:?} never fires: no day has such a time, in Europe/Vienna")
        );
    }
    // Without optimization, on a busy machine.
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());
    assert!(next_times("*/10 2 * 3 sunL", NEW_YORK, SystemTime::now(), 1).is_ok());
}

#[test]
fn a_zone_that_nobody_knows_is_an_error() {
    for zone in ["Europe/Wien", "", "local", "../../etc/passwd", "Europe/Vienna\0", "Etc/Unknown", "+02:00"] {
        let error = next_times("0 9 * * *", zone, SystemTime::now(), 1).unwrap_err();
        assert_eq!(error, InvalidCron::UnknownZone(zone.to_owned()));
        assert_eq!(
            error.to_string(),
            format!("the time zone {zone:?} is unknown: give it by its IANA name, such as \"Europe/Vienna\"")
        );
    }
    assert_times("0 9 * * *", "europe/vienna", "2026-01-01T00:00:00Z", &["2026-01-01T09:00:00+01:00"]);
}

#[test]
fn words_stand_for_expressions() {
    let after = "2026-03-04T12:34:56Z";
    for (word, expected) in [
        ("@yearly", "2027-01-01T00:00:00Z"),
        ("@annually", "2027-01-01T00:00:00Z"),
        ("@monthly", "2026-04-01T00:00:00Z"),
        ("@weekly", "2026-03-08T00:00:00Z"),
        ("@daily", "2026-03-05T00:00:00Z"),
        ("@midnight", "2026-03-05T00:00:00Z"),
        (" @Midnight ", "2026-03-05T00:00:00Z"),
        ("@hourly", "2026-03-04T13:00:00Z"),
    ] {
        assert_times(word, "UTC", after, &[expected]);
    }
}
