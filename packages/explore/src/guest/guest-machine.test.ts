import type { GuestDefectId } from '@heki/guest';
import { describe, expect, test } from 'vitest';
import { replay } from '../replay.ts';
import { search } from '../search.ts';
import { guestMachine } from './guest-machine.ts';

const LATE = 'late init is done';
const SHORT = ', and no page is left for the list';

describe('the Heki core of a guest', () => {
  test('keeps its counters, and what the hypervisor knows, in line with the page tables', () => {
    const { end, counterexamples } = search(guestMachine(), { depth: 2 });
    expect([end, counterexamples]).toEqual(['depth', []]);
  });

  test.each<[GuestDefectId, property: string, story: readonly string[]]>([
    ['B-G1', 'LEAK', [`${LATE}, and the hypervisor refuses`]],
    ['B-G2', 'GRANT', [LATE + SHORT]],
    ['B-G3', 'TOLD', [LATE, `the kernel maps the free page in an area, r-x${SHORT}`]],
    ['B-G5', 'P5', [LATE]],
    ['B-G6', 'GRANT', [LATE]],
    ['B-G8', 'P5', ['the kernel maps a page above 512 GiB, r-x']],
    ['B-G13', 'P8', [LATE]],
    ['B-G15', 'P5', []],
    ['B-G16', 'P8', [LATE, 'the kernel makes the generated code rw-']],
    ['B-G18', 'SAID', ['the kernel maps the free page in an area, r-x', LATE]],
    ['B-G22', 'EARLY', [LATE, 'the kernel makes the generated code rw-']],
    ['B-G24', 'GRANT', [LATE]],
  ])('with %s breaks %s, which is found without being told', (defect, property, story) => {
    expect(replay(guestMachine({ [defect]: true }), story).broken).toContain(property);
    expect(replay(guestMachine(), story).broken).toEqual([]);
    // No shorter one does.
    const shorter = search(guestMachine({ [defect]: true }), {
      depth: story.length - 1,
      properties: [property],
    });
    if (story.length > 0) expect(shorter.counterexamples).toEqual([]);
  });
});
