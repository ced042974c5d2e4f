//! Which queue comes next when several have due jobs: by weight, and none starves.

/// Fair queueing: each queue has a clock that goes on by what it was given, the slower the more weight it has, and the one
/// whose clock is behind comes first. Who had nothing to give meanwhile does not save that up.
#[derive(Debug, Default)]
pub(super) struct Shares {
    weights: Vec<u32>,
    clocks: Vec<f64>,
    /// Where the clock of the one that was served last stood before.
    now: f64,
}

impl Shares {
    pub(super) fn new(weights: Vec<u32>) -> Self {
        Self { clocks: vec![0.0; weights.len()], weights, now: 0.0 }
    }

    /// Those of `queues` in the order in which they are to be asked, each with its share of `slots`, one at least.
    pub(super) fn divide(&self, slots: usize, queues: &[usize]) -> Vec<(usize, usize)> {
        let total: u64 = queues.iter().map(|queue| u64::from(self.weights[*queue])).sum();
        let share = |queue: usize| {
            let share = (slots as u64 * u64::from(self.weights[queue])).div_ceil(total.max(1));
            usize::try_from(share).unwrap_or(usize::MAX)
        };
        let mut order: Vec<(usize, usize)> = queues.iter().map(|queue| (*queue, share(*queue).max(1))).collect();
        order.sort_by(|(one, _), (other, _)| self.clock(*one).total_cmp(&self.clock(*other)));
        order
    }

    /// Which of `queues` comes next.
    pub(super) fn next(&self, queues: impl Iterator<Item = usize>) -> Option<usize> {
        queues.min_by(|one, other| self.clock(*one).total_cmp(&self.clock(*other)))
    }

    /// `queue` was given slots for so many jobs.
    pub(super) fn gave(&mut self, queue: usize, jobs: usize) {
        if jobs > 0 {
            self.now = self.clock(queue);
            self.clocks[queue] = self.now + jobs as f64 / f64::from(self.weights[queue]);
        }
    }

    fn clock(&self, queue: usize) -> f64 {
        self.clocks[queue].max(self.now)
    }
}

#[cfg(test)]
mod tests {
    use super::Shares;

    /// Gives one slot at a time to queues of which those in `busy` always have jobs, and counts.
    fn serve(shares: &mut Shares, busy: &[usize], slots: usize) -> Vec<usize> {
        let mut served = vec![0; shares.weights.len()];
        let all: Vec<usize> = (0..served.len()).collect();
        for _ in 0..slots {
            let (queue, _) = shares.divide(1, &all).into_iter().find(|(queue, _)| busy.contains(queue)).unwrap();
            assert_eq!(shares.next(busy.iter().copied()), Some(queue));
            shares.gave(queue, 1);
            served[queue] += 1;
        }
        served
    }

    #[test]
    fn slot_by_slot_each_queue_gets_its_weight() {
        assert_eq!(serve(&mut Shares::new(vec![1, 1, 1]), &[0, 1, 2], 300), [100, 100, 100]);
        assert_eq!(serve(&mut Shares::new(vec![3, 1]), &[0, 1], 400), [300, 100]);
        let served = serve(&mut Shares::new(vec![1000, 1]), &[0, 1], 5005);
        assert_eq!(served[1], 5, "none starves");
    }

    #[test]
    fn many_slots_are_divided_at_once() {
        let shares = Shares::new(vec![3, 1, 1]);
        assert_eq!(shares.divide(10, &[0, 1, 2]), [(0, 6), (1, 2), (2, 2)]);
        assert_eq!(shares.divide(10, &[1]), [(1, 10)]);
        assert_eq!(
            shares.divide(1, &[0, 1, 2]),
            [(0, 1), (1, 1), (2, 1)],
            "whoever is asked is asked for one at least"
        );
    }

    #[test]
    fn a_queue_that_had_nothing_does_not_save_its_share_up() {
        let mut shares = Shares::new(vec![1, 1]);
        assert_eq!(serve(&mut shares, &[0], 1000), [1000, 0]);
        assert_eq!(serve(&mut shares, &[0, 1], 100), [50, 50]);
    }
}
