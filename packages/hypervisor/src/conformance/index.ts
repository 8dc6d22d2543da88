import type { BackendEvent, VirtualMachine } from '../virtual-machine.ts';
import { declarationCases } from './cases/declaration.ts';
import { denialCases } from './cases/denials.ts';
import { endOfBootCases } from './cases/end-of-boot.ts';
import { failureCases } from './cases/failure.ts';
import { hostFrameCases } from './cases/host-frames.ts';
import { hostileCases } from './cases/hostile.ts';
import { immutabilityCases } from './cases/immutability.ts';
import { lifeCycleCases } from './cases/life-cycle.ts';
import { pageCases } from './cases/pages.ts';
import { pinCases } from './cases/pins.ts';
import { rangeCountCases } from './cases/ranges.ts';
import { registerCases } from './cases/registers.ts';
import { rightsCases } from './cases/rights.ts';
import { savedLife } from './cases/saved-lives.ts';
import { writerCases } from './cases/writers.ts';
import { type ConformanceCase, type ConformanceSetup, require } from './setup.ts';

export {
  type ConformanceCase,
  ConformanceFailure,
  type ConformanceSetup,
  type GuestCalls,
  type GuestPlaces,
  type LifeStep,
  type MalformedCall,
} from './setup.ts';

/**
 * Everything that the contract promises of a backend with the capabilities that it declares, case by case. Every case makes
 * machines of its own; the same set-up gives the same cases.
 */
export function conformanceCases<Machine extends VirtualMachine, Event extends BackendEvent>(
  setup: ConformanceSetup<Machine, Event>,
): readonly ConformanceCase[] {
  // The cases hand the backend only what it made itself, so that its own types may be forgotten.
  const any = setup as unknown as ConformanceSetup;
  return [
    ...declarationCases(any),
    ...rightsCases(any),
    ...rangeCountCases(any),
    ...failureCases(any),
    ...pageCases(any),
    ...hostFrameCases(any),
    ...immutabilityCases(any),
    ...endOfBootCases(any),
    ...denialCases(any),
    ...pinCases(any),
    ...registerCases(any),
    ...hostileCases(any),
    ...writerCases(any),
    ...lifeCycleCases(any),
  ];
}

/**
 * Random lives of `setup`, each saved in the middle and put into another machine: from there on it must go on the same in both, whatever
 * the backend holds.
 *
 * @param lives how many; they have the seeds from 0 on
 */
export function savedLivesCase<Machine extends VirtualMachine, Event extends BackendEvent>(
  setup: ConformanceSetup<Machine, Event>,
  lives: number,
): ConformanceCase {
  return {
    area: 'random lives',
    name: `${lives} lives go on where they are restored as they do where they were saved`,
    run() {
      let saved = 0;
      for (let seed = 0; seed < lives; seed++) {
        if (savedLife(setup as unknown as ConformanceSetup, seed)) saved++;
      }
      // A backend may refuse to save in the middle of something, but not as a rule.
      require(saved > lives / 2, `${saved} of ${lives} lives could be saved`);
    },
  };
}
