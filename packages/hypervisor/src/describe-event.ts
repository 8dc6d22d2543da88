import { hex } from '@heki/physical-memory';
import type { Denial } from './denial.ts';
import type { HypervisorEvent } from './event.ts';
import { formatRights } from './rights.ts';

function denialText(denial: Denial): string {
  if (denial.kind === 'register') {
    return `write of ${hex(denial.value)} to ${denial.register} (now ${hex(denial.old)})`;
  }
  const linear = denial.linear === undefined ? '' : ` through ${hex(denial.linear)}`;
  return `${denial.access} of guest-physical ${hex(denial.gpa)}${linear}`;
}

/**
 * An event that every backend has, as one line of a trace.
 *
 * @param decider who refuses, where it is not the hypervisor itself: `VTL1`
 */
export function describeHypervisorEvent(event: HypervisorEvent, decider?: string): string {
  switch (event.type) {
    case 'denied': {
      const by = decider === undefined ? '' : ` by ${decider}`;
      return `denied${by}: ${denialText(event.denial)}, ${event.verdict}`;
    }
    case 'protected': {
      const { applied, weakened, refused } = event.result;
      const weak = weakened.map(
        ({ range, granted }) =>
          `, ${hex(range.start)}-${hex(range.end)} weakened to ${formatRights(granted)}`,
      );
      const end = refused === undefined ? '' : `, refused at ${refused.at}: ${refused.why}`;
      return `protection by ${event.by}: ${applied} applied${weak.join('')}${end}`;
    }
    case 'pinned':
      return `pinned by ${event.by}: CR0 ${hex(event.result.cr0)}, CR4 ${hex(event.result.cr4)}`;
    case 'log':
      return event.text;
  }
}
