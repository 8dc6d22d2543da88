import { createHyperv, type LvbsDefectId } from '@heki/hyperv';
import { createKvm } from '@heki/kvm';
import { initHekiOnKvm, initHekiOnLvbs } from '@heki/paravirt';
import { describe, expect, test } from 'vitest';
import { type OtherProcessors, type ScheduledKernel, scheduledKernel } from './scheduled-kernel.ts';

const lvbs = (others: OtherProcessors, ...defects: readonly LvbsDefectId[]): ScheduledKernel =>
  scheduledKernel(
    {
      name: 'lvbs',
      create: (trusted) =>
        createHyperv({ trusted, defects: Object.fromEntries(defects.map((id) => [id, true])) }),
      driver: initHekiOnLvbs,
    },
    others,
  );

/** One store of another processor: every moment of the load can be tried without any reduction, too. */
const STORES: OtherProcessors = [['stores to']];

describe('a kernel that loads a signed module while another processor stores to its text', () => {
  test('executes what was stored where what was compared can change until it is protected', () => {
    const kernel = lvbs(STORES, 'B-L6');
    const { end, schedules, counterexamples } = kernel.explore();
    const all = kernel.explore({ unreduced: true });
    expect([end, all.end]).toEqual(['closed', 'closed']);
    expect(all.counterexamples.map(({ property }) => property)).toEqual(['P6']);
    expect(schedules).toBeLessThan(all.schedules);
    const [story] = counterexamples;
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
    // The same moment where it is mended.
    expect(lvbs(STORES).replay(told)).toEqual({ steps: 3, broken: [] });
    expect(kernel.replay(['processor 7 sleeps'])).toEqual({ steps: 0, broken: [] });
  });

  test('executes nothing that was not signed where the pages are frozen before they are compared, whenever he stores', () => {
    const kernel = lvbs(STORES);
    const { end, counterexamples } = kernel.explore();
    expect([end, counterexamples]).toEqual(['closed', []]);
  });

  test('executes what was stored where nobody compares what becomes executable', () => {
    const kernel = scheduledKernel({ name: 'kvm', create: () => createKvm(), driver: initHekiOnKvm }, STORES);
    const { end, counterexamples } = kernel.explore({ stop: ({ fallen }) => fallen > 0 });
    expect([end, counterexamples.map(({ property }) => property)]).toEqual(['stopped', ['P6']]);
  });
});
