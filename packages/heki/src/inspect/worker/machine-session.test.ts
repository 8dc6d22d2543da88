import { CATALOGUE } from '@heki/attacks';
import { describe, expect, test } from 'vitest';
import { bootMoment, bootTimeline } from './boot-moments.ts';
import { attack, choices } from './machine-session.ts';

describe('the boot of a machine, event by event', () => {
  const { lanes, events, outcome } = bootTimeline('hardened');

  test('has a lane for each who reports, and goes as it went before', () => {
    expect(lanes).toEqual(['kernel', 'vcpu0', 'kvm', 'core']);
    expect(outcome).toBe('boot is over: the kernel lives');
    expect(events.filter(({ isStep }) => isStep).map(({ text }) => text)).toContain('mark_rodata_ro');
    expect(bootTimeline('hardened').events).toEqual(events);
  });

  test('is at each moment what it is in a fresh run, backwards as well', () => {
    const at = events.findIndex(
      ({ text }) => text.startsWith('protect memory') || text.includes('hypercall 14'),
    );
    const [later, moment] = [bootMoment('hardened', at), bootMoment('hardened', at - 1)];
    expect(bootMoment('hardened', at)).toEqual(later);
    expect(bootMoment('hardened', at - 1)).toEqual(moment);
  });

  test('tells the frames whose rights an event changed, and the second level in the end', () => {
    const at = events.findIndex(
      ({ text }) => /^gfns .* r-x immutable: applied$/.test(text) && text.includes('-0x1'),
    );
    const [, start, end] = /gfns (0x\w+)-(0x\w+) /.exec(events[at]?.text ?? '') ?? [];
    expect(bootMoment('hardened', at).changed).toEqual([[Number(start), Number(end)]]);
    expect(bootMoment('hardened', at + 1).changed).toEqual([]);
    const { memory, registers } = bootMoment('hardened', events.length - 1);
    // The kernel's text is executed and not written, in the mappings and in the second level.
    expect(memory.kinds.map(({ rights }) => rights)).not.toContain('rwx');
    expect(memory.rights).toEqual(expect.arrayContaining(['r-x', 'rw-', 'r--']));
    expect(registers.find(({ name }) => name === 'CR0')?.bits).toContain('WP');
  });

  test('refuses a moment that there is not, and a machine', () => {
    expect(() => bootMoment('hardened', events.length)).toThrow(
      `boot has ${events.length} events, from 0 on`,
    );
    expect(() => bootTimeline('nope')).toThrow('machine nope: expected one of rodata-off, no-heki, ');
  });
});

describe('an attack on a machine', () => {
  test('is told step by step, with the verdict of heki attack', () => {
    const [without, hardened] = ['no-heki', 'hardened'].map((name) =>
      attack('store-text-after-pte-edit', name),
    );
    expect(without?.verdict).toBe('succeeds');
    expect(hardened?.verdict).toBe('blocked');
    expect(hardened?.steps.at(-1)).toMatchObject({ result: 'faulted', by: 'second-level' });
    expect(without?.steps.at(-1)?.result).toBe('done');
  });

  test('is one of the catalogue, all of which can be chosen', () => {
    expect(choices().attacks.map(({ name }) => name)).toEqual(CATALOGUE.map(({ name }) => name));
    expect(() => attack('nope', 'hardened')).toThrow('there is no attack nope');
  });
});
