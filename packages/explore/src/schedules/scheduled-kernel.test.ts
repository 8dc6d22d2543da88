import { createKvm } from '@heki/kvm';
import { initHekiOnKvm } from '@heki/paravirt';
import { describe, expect, test } from 'vitest';
import { lvbs, STORES } from '../testing/lvbs-schedules.ts';
import { scheduledKernel } from './scheduled-kernel.ts';

describe('a kernel that loads a signed module while another processor stores to its text', () => {
  const first = ({ fallen }: { readonly fallen: number }): boolean => fallen > 0;

  test('executes what was stored where what was compared can change until it is protected, and not where that is mended', () => {
    const kernel = lvbs(STORES, 'B-L6');
    const [story] = kernel.explore({ stop: first }).counterexamples;
    expect(story).toMatchObject({
      property: 'P6',
      actions: [
        expect.stringMatching(/^the kernel goes on, to moment \d+ \(/),
        "processor 1 stores to the module's text",
        'the kernel executes the module',
      ],
    });
    const told = story?.actions ?? [];
    expect(kernel.replay(told)).toEqual({ steps: 3, broken: ['P6'] });
    expect(lvbs(STORES).replay(told)).toEqual({ steps: 3, broken: [] });
    expect(kernel.replay(['processor 7 sleeps'])).toEqual({ steps: 0, broken: [] });
  });

  test('executes what was stored where nobody compares what becomes executable', () => {
    const kernel = scheduledKernel({ name: 'kvm', create: () => createKvm(), driver: initHekiOnKvm }, STORES);
    const { end, counterexamples } = kernel.explore({ stop: first });
    expect([end, counterexamples.map(({ property }) => property)]).toEqual(['stopped', ['P6']]);
  });
});
