import { describeHostileGuests } from '../testing/hostile-guest.ts';

// `hostile-guest.long.test.ts` has more of them.
describeHostileGuests(2);
