import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { CATALOGUE } from '@heki/attacks';
import type { LifeQuery } from '@heki/inspector';
import { bytesSource } from '@heki/vmcore';
import { describe, expect, test } from 'vitest';
import { fixturePath } from '../../testing/run-command.ts';
import { openDumpSession } from './dump-session.ts';
import { attack, choices, frameAt, moment, timeline, walkAt } from './machine-session.ts';

/** Of `_text`, without KASLR. */
const TEXT_FRAME = 0x1000;

const modelled = (machine: string): LifeQuery => ({ machine, kernel: 'modelled', scenario: null });
const HARDENED = modelled('hardened');

describe('the boot of a machine, event by event', () => {
  const { lanes, events, outcome } = timeline(HARDENED);
  const last = events.length - 1;

  test('has a lane for each who reports, and goes as it went before', () => {
    expect(lanes).toEqual(['kernel', 'vcpu0', 'kvm', 'core']);
    expect(outcome).toBe('boot is over: the kernel lives');
    expect(events.filter(({ isStep }) => isStep).map(({ text }) => text)).toContain('mark_rodata_ro');
    expect(timeline(HARDENED).events).toEqual(events);
  });

  test('tells the frames whose rights an event changed, or all events since one, and the second level in the end', () => {
    const at = events.findIndex(
      ({ text }) => /^gfns .* r-x immutable: applied$/.test(text) && text.includes('-0x1'),
    );
    const [, start, end] = /gfns (0x\w+)-(0x\w+) /.exec(events[at]?.text ?? '') ?? [];
    const changed = [[Number(start), Number(end)]];
    expect(moment({ life: HARDENED, at }, at - 1).changed).toEqual(changed);
    expect(moment({ life: HARDENED, at: at + 1 }, at).changed).toEqual([]);
    expect(moment({ life: HARDENED, at: at + 1 }, at - 1).changed).toEqual(changed);
    const { memory, registers } = moment({ life: HARDENED, at: last }, last - 1);
    // The kernel's text is executed and not written, in the mappings and in the second level.
    expect(memory.kinds.map(({ rights }) => rights)).not.toContain('rwx');
    expect(memory.rights).toEqual(expect.arrayContaining(['r-x', 'rw-', 'r--']));
    expect(memory.kinds.flatMap(({ places }) => places.map(({ region }) => region))).toEqual(
      expect.arrayContaining(['kernel text', 'kernel rodata', 'direct map', 'vmalloc']),
    );
    expect(registers.find(({ name }) => name === 'CR0')?.bits).toContain('WP');
  });

  test('refuses a moment that there is not, and a machine', () => {
    expect(() => moment({ life: HARDENED, at: events.length }, last)).toThrow(
      `there are ${events.length} events, from 0 on`,
    );
    expect(() => timeline(modelled('nope'))).toThrow('machine nope: expected one of rodata-off, no-heki, ');
    expect(() => timeline({ ...HARDENED, kernel: 'dump' })).toThrow('none is open');
  });

  test('has of a page its counters, what was asked for it, and the walk of the second level', () => {
    const text = frameAt({ life: HARDENED, at: last }, TEXT_FRAME);
    expect(text).toMatchObject({ counters: { write: 0 }, asked: 'r-xu, immutable', effective: 'r-xu' });
    expect(text.counters?.execute).toBeGreaterThan(0);
    // KVM has taken its leaf away when it was protected, and makes another at the first access.
    const { kind, isAllowed, steps } = text.secondLevel ?? expect.fail();
    expect([kind, isAllowed]).toEqual(['EPT', true]);
    expect(steps.at(-1)?.text).toMatch(/^(?:2 MiB|4 KiB) page at 0x101000000, WB, R X /);
    const without = frameAt({ life: modelled('no-heki'), at: 40 }, TEXT_FRAME);
    expect(without).toMatchObject({ counters: null, asked: null, effective: 'rwxu' });
    expect(frameAt({ life: HARDENED, at: 40 }, 2 ** 30)).toMatchObject({ host: null, effective: null });
  });

  test('walks through both stages: a write to text that the page tables allow is refused by the second level', () => {
    const query = { life: HARDENED, at: last };
    const asked = { address: '_text', access: 'write', user: false, edits: {} } as const;
    const refused = walkAt(query, asked);
    expect(refused.outcome.text).toMatch(/^#PF 0x3 /);
    expect(refused.steps.every(({ secondLevel }) => secondLevel?.isAllowed)).toBe(true);
    const leaf = refused.steps.at(-1);
    const edits = { [leaf?.address ?? '']: `0x${(BigInt(`0x${leaf?.value}`) | 2n).toString(16)}` };
    const opened = walkAt(query, { ...asked, edits });
    expect(opened.steps.at(-1)?.isEdited).toBe(true);
    expect(opened.outcome).toMatchObject({ kind: 'refused', secondLevel: { isAllowed: false } });
    expect(opened.outcome.text).toMatch(
      /^refused by the second level at guest-physical 0x1000000, the page itself$/,
    );
    // Where nothing is withheld, the same edit is enough.
    const without = { life: modelled('no-heki'), at: timeline(modelled('no-heki')).events.length - 1 };
    expect(walkAt(without, { ...asked, edits }).outcome.kind).toBe('allowed');
  });

  test('walks as edited second-level entries have it, on the machine whose they are', () => {
    const query = { life: modelled('hyperv'), at: timeline(modelled('hyperv')).events.length - 1 };
    const asked = { address: '_text', access: 'fetch', user: false, edits: {} } as const;
    const { outcome } = walkAt(query, asked);
    const leaf = outcome.secondLevel?.steps.at(-1);
    expect(outcome.kind).toBe('allowed');
    const execute = 1n << 2n;
    const edits = { [leaf?.address ?? '']: `0x${(BigInt(`0x${leaf?.value}`) & ~execute).toString(16)}` };
    const closed = walkAt(query, { ...asked, edits });
    expect(closed.outcome).toMatchObject({ kind: 'refused', secondLevel: { isAllowed: false } });
    expect(closed.outcome.details).toEqual(['because XS is 0 and the linear address is supervisor-mode']);
    expect(walkAt(query, asked).outcome).toEqual(outcome);
  });
});

describe('the kernel of a dump on a machine', () => {
  const dump = openDumpSession([bytesSource(gunzipSync(readFileSync(fixturePath('k61-256-nokaslr'))))], {
    name: 'k61-256-nokaslr.elf.gz',
    sidecar: undefined,
    tool: 'heki',
  }).kernel;
  const life: LifeQuery = { machine: 'hardened', kernel: 'dump', scenario: null };

  test('is counted and protected, and its text is held by what its mappings were', () => {
    const { events, outcome, lanes } = timeline(life, dump);
    expect(outcome).toBe('the kernel is protected');
    expect(lanes).toEqual(['machine', 'vcpu0', 'kvm', 'core']);
    const query = { life, at: events.length - 1 };
    expect(frameAt({ life, at: 0 }, TEXT_FRAME, dump)).toMatchObject({ counters: null, effective: 'rwxu' });
    expect(frameAt(query, TEXT_FRAME, dump)).toMatchObject({ asked: 'r-xu, immutable', effective: 'r-xu' });
    const walk = walkAt(
      query,
      { address: '0xffffffff81000000', access: 'fetch', user: false, edits: {} },
      dump,
    );
    expect(walk.outcome).toMatchObject({ kind: 'allowed', frame: TEXT_FRAME });
    expect(walk.place).toBe('_stext, in kernel text');
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
