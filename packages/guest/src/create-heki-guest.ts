import { HekiCore } from './core/heki-core.ts';
import type { HekiGuest } from './heki-guest.ts';
import type { HekiGuestOptions } from './heki-guest-options.ts';

/** A Heki core. */
export function createHekiGuest(options: HekiGuestOptions): HekiGuest {
  return new HekiCore(options);
}
