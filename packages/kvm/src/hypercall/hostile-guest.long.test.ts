import { describeHostileGuests } from '../testing/hostile-guest.ts';

/** HEKI_RUNS=10 makes a million hypercalls. */
describeHostileGuests(34 * Number(process.env.HEKI_RUNS ?? 1));
