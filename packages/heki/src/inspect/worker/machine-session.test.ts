import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { bootMachine, CATALOGUE, runAttack } from '@heki/attacks';
import type { LifeQuery } from '@heki/inspector';
import { bytesSource } from '@heki/vmcore';
import { describe, expect, test } from 'vitest';
import { labBackend } from '../../attack/lab-backend.ts';
import { fixturePath } from '../../testing/run-command.ts';
import { openDumpSession } from './dump-session.ts';
import { attack, choices, frameAt, moment, timeline, walkAt } from './machine-session.ts';

/** Of `_text`, without KASLR. */
const TEXT_FRAME = 0x1000;

const modelled = (machine: string): LifeQuery => ({
  machine,
  kernel: 'modelled',
  scenario: null,
  attack: null,
});
const HARDENED = modelled('hardened');

describe('the boot of a machine, event by event', async () => {
  const { lanes, events, outcome } = await timeline(HARDENED);
  const last = events.length - 1;

  test('has a lane for each who reports, and goes as it went before', async () => {
    expect(lanes).toEqual(['kernel', 'vcpu0', 'kvm', 'core']);
    expect(outcome).toBe('boot is over: the kernel lives');
    expect(events.filter(({ isStep }) => isStep).map(({ text }) => text)).toContain('mark_rodata_ro');
    expect((await timeline(HARDENED)).events).toEqual(events);
  });

  test('tells the frames whose rights an event changed, or all events since one, and the second level in the end', async () => {
    const at = events.findIndex(
      ({ text }) => /^gfns .* r-x immutable: applied$/.test(text) && text.includes('-0x1'),
    );
    const [, start, end] = /gfns (0x\w+)-(0x\w+) /.exec(events[at]?.text ?? '') ?? [];
    const changed = [[Number(start), Number(end)]];
    expect((await moment({ life: HARDENED, at }, at - 1)).changed).toEqual(changed);
    expect((await moment({ life: HARDENED, at: at + 1 }, at)).changed).toEqual([]);
    expect((await moment({ life: HARDENED, at: at + 1 }, at - 1)).changed).toEqual(changed);
    const { memory, registers } = await moment({ life: HARDENED, at: last }, last - 1);
    // The kernel's text is executed and not written, in the mappings and in the second level.
    expect(memory.kinds.map(({ rights }) => rights)).not.toContain('rwx');
    expect(memory.rights).toEqual(expect.arrayContaining(['r-x', 'rw-', 'r--']));
    expect(memory.kinds.flatMap(({ places }) => places.map(({ region }) => region))).toEqual(
      expect.arrayContaining(['kernel text', 'kernel rodata', 'direct map', 'vmalloc']),
    );
    expect(registers.find(({ name }) => name === 'CR0')?.bits).toContain('WP');
  });

  test('tells the frames that nothing is asked for: all before the first request, none of the text in the end', async () => {
    const at = (event: number) => moment({ life: HARDENED, at: event }, -1);
    const first = await at(0);
    expect(first.memory.unsent).toEqual(first.memory.ram);
    const { memory } = await at(last);
    const unsent = framesOfGaps(memory.unsent ?? expect.fail());
    expect(unsent.has(TEXT_FRAME)).toBe(false);
    for (const frame of [...unsent].filter((_, index) => index % 1009 === 0))
      expect((await frameAt({ life: HARDENED, at: last }, frame)).asked).toBe(null);
    expect(memory.bpf).toEqual([]);
  });

  test('tells the packs of eBPF of a scenario', async () => {
    const scenario = JSON.stringify({ machine: {}, steps: [{ do: 'load-bpf', name: 'p' }] });
    const life: LifeQuery = { machine: 'hardened', kernel: 'modelled', scenario, attack: null };
    const end = (await timeline(life)).events.length - 1;
    const { memory } = await moment({ life, at: end }, -1);
    expect(framesOfGaps(memory.bpf ?? []).size).toBe(512);
  });

  test('refuses a moment that there is not, and a machine', async () => {
    await expect(moment({ life: HARDENED, at: events.length }, last)).rejects.toThrow(
      `there are ${events.length} events, from 0 on`,
    );
    await expect(timeline(modelled('nope'))).rejects.toThrow(
      'machine nope: expected one of rodata-off, no-heki, ',
    );
    await expect(timeline({ ...HARDENED, kernel: 'dump' })).rejects.toThrow('none is open');
  });

  test('has of a page its counters, what was asked for it, and the walk of the second level', async () => {
    const text = await frameAt({ life: HARDENED, at: last }, TEXT_FRAME);
    expect(text).toMatchObject({ counters: { write: 0 }, asked: 'r-xu, immutable', effective: 'r-xu' });
    expect(text.counters?.execute).toBeGreaterThan(0);
    // KVM has taken its leaf away when it was protected, and makes another at the first access.
    const { kind, isAllowed, steps } = text.secondLevel ?? expect.fail();
    expect([kind, isAllowed]).toEqual(['EPT', true]);
    expect(steps.at(-1)?.text).toMatch(/^(?:2 MiB|4 KiB) page at 0x101000000, WB, R X /);
    const without = await frameAt({ life: modelled('no-heki'), at: 40 }, TEXT_FRAME);
    expect(without).toMatchObject({ counters: null, asked: null, effective: 'rwxu' });
    expect(await frameAt({ life: HARDENED, at: 40 }, 2 ** 30)).toMatchObject({ host: null, effective: null });
  });

  test('walks through both stages: a write to text that the page tables allow is refused by the second level', async () => {
    const query = { life: HARDENED, at: last };
    const asked = { address: '_text', access: 'write', user: false, edits: {} } as const;
    const refused = await walkAt(query, asked);
    expect(refused.outcome.text).toMatch(/^#PF 0x3 /);
    expect(refused.steps.every(({ secondLevel }) => secondLevel?.isAllowed)).toBe(true);
    const leaf = refused.steps.at(-1);
    const edits = { [leaf?.address ?? '']: `0x${(BigInt(`0x${leaf?.value}`) | 2n).toString(16)}` };
    const opened = await walkAt(query, { ...asked, edits });
    expect(opened.steps.at(-1)?.isEdited).toBe(true);
    expect(opened.outcome).toMatchObject({ kind: 'refused', secondLevel: { isAllowed: false } });
    expect(opened.outcome.text).toMatch(
      /^refused by the second level at guest-physical 0x1000000, the page itself$/,
    );
    // Where nothing is withheld, the same edit is enough.
    const without = {
      life: modelled('no-heki'),
      at: (await timeline(modelled('no-heki'))).events.length - 1,
    };
    expect((await walkAt(without, { ...asked, edits })).outcome.kind).toBe('allowed');
  });

  test('walks as edited second-level entries have it, on the machine whose they are', async () => {
    const query = { life: modelled('hyperv'), at: (await timeline(modelled('hyperv'))).events.length - 1 };
    const asked = { address: '_text', access: 'fetch', user: false, edits: {} } as const;
    const { outcome } = await walkAt(query, asked);
    const leaf = outcome.secondLevel?.steps.at(-1);
    expect(outcome.kind).toBe('allowed');
    const execute = 1n << 2n;
    const edits = { [leaf?.address ?? '']: `0x${(BigInt(`0x${leaf?.value}`) & ~execute).toString(16)}` };
    const closed = await walkAt(query, { ...asked, edits });
    expect(closed.outcome).toMatchObject({ kind: 'refused', secondLevel: { isAllowed: false } });
    expect(closed.outcome.details).toEqual(['because XS is 0 and the linear address is supervisor-mode']);
    expect((await walkAt(query, asked)).outcome).toEqual(outcome);
  });
});

describe('the kernel of a dump on a machine', () => {
  const dump = openDumpSession([bytesSource(gunzipSync(readFileSync(fixturePath('k61-256-nokaslr'))))], {
    name: 'k61-256-nokaslr.elf.gz',
    sidecar: undefined,
    tool: 'heki',
  }).kernel;
  const life: LifeQuery = { machine: 'hardened', kernel: 'dump', scenario: null, attack: null };

  test('is counted and protected, and its text is held by what its mappings were', async () => {
    const { events, outcome, lanes } = await timeline(life, dump);
    expect(outcome).toBe('the kernel is protected');
    expect(lanes).toEqual(['machine', 'vcpu0', 'kvm', 'core']);
    const query = { life, at: events.length - 1 };
    expect(await frameAt({ life, at: 0 }, TEXT_FRAME, dump)).toMatchObject({
      counters: null,
      effective: 'rwxu',
    });
    expect(await frameAt(query, TEXT_FRAME, dump)).toMatchObject({
      asked: 'r-xu, immutable',
      effective: 'r-xu',
    });
    const walk = await walkAt(
      query,
      { address: '0xffffffff81000000', access: 'fetch', user: false, edits: {} },
      dump,
    );
    expect(walk.outcome).toMatchObject({ kind: 'allowed', frame: TEXT_FRAME });
    expect(walk.place).toBe('_stext, in kernel text');
  });
});

describe('a scenario', () => {
  const life = (scenario: object): LifeQuery => ({ ...HARDENED, scenario: JSON.stringify(scenario) });

  test('is lived on the machine that it says, step by step, and looked at like a boot', async () => {
    const steps = [{ do: 'load-module', name: 'driver', text: 4 }];
    const scenario = life({ machine: { memory: '64MiB', hypervisor: 'none' }, steps });
    const { events, lanes, outcome } = await timeline(scenario);
    expect(outcome).toBe('boot is over, 1 of 1 steps were taken: the kernel lives');
    expect(lanes).toContain('scenario');
    const at = events.findIndex(({ text }) => text === JSON.stringify(steps[0]));
    expect(events[at]?.isStep).toBe(true);
    expect(await frameAt({ life: scenario, at }, TEXT_FRAME)).toMatchObject({ asked: null });
  });

  test('that is none, or names what cannot be had in a page, is refused in the words of heki boot', async () => {
    await expect(timeline({ ...HARDENED, scenario: '{' })).rejects.toThrow('scenario.json:1:1: not JSON');
    await expect(timeline(life({ steps: [{ do: 'nothing' }] }))).rejects.toThrow('scenario.json');
    for (const machine of [{ hypervisor: './mine.mjs' }, { kernel: 'System.map' }]) {
      await expect(timeline(life({ machine, steps: [] }))).rejects.toThrow('expected');
    }
    await expect(timeline(life({ include: ['other.json'], steps: [] }))).rejects.toThrow(
      'no other files are read here',
    );
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

  test('is told to the instruction, at which its machine can be looked at', async () => {
    const [name, machine] = ['store-text-after-pte-edit', 'hardened'] as const;
    const { steps, timeline: told } = attack(name, machine);
    const [store] = steps.at(-1)?.instructions ?? expect.fail();
    expect(store?.access).toMatchObject({ access: 'write', user: false });
    expect(told.events.slice(store?.start, store?.end).map(({ text }) => text)).toContain(
      '#PF 0x3 (P W), injected',
    );
    expect(
      attack(name, 'no-heki')
        .steps.at(-1)
        ?.instructions.map(({ sign }) => sign),
    ).toEqual(['vcpu0 store 8']);
    const life = { ...modelled(machine), attack: name };
    expect(await timeline(life)).toEqual(told);
    const walk = await walkAt(
      { life, at: (store?.start ?? 0) - 1 },
      { ...(store?.access ?? expect.fail()), edits: {} },
    );
    // No page was mapped there: what KVM maps at the access does not let it through.
    expect(walk.outcome).toMatchObject({ kind: 'refused', details: ['because W is 0'] });
  });

  test.each([
    ['execute-data-unpaged', 'hardened'],
    ['execute-user-page-after-init', 'hardened'],
    ['start-own-processor', 'no-heki'],
    ['sleep-and-resume', 'hardened'],
  ])(
    'walks each access of %s on %s by the registers of the processor that makes it',
    async (name, machine) => {
      const { steps } = attack(name, machine);
      const instructions = steps.flatMap((step) => step.instructions).slice(-8);
      for (const { start, sign, access } of instructions) {
        if (access === null) continue;
        const life = { ...modelled(machine), attack: name };
        const { outcome } = await walkAt({ life, at: Math.max(0, start - 1) }, { ...access, edits: {} });
        const completes = !/exception|livelock|halted|no-memory/.test(sign);
        expect([sign, outcome.text, outcome.kind]).toEqual([
          sign,
          outcome.text,
          completes ? 'allowed' : 'refused',
        ]);
      }
    },
  );

  test('refuses a virtual CPU that there is not', async () => {
    const query = { address: '_text', access: 'read', user: false, edits: {}, cpu: 9 } as const;
    await expect(walkAt({ life: HARDENED, at: 40 }, query)).rejects.toThrow(
      'virtual CPU 9: expected one of 0 to',
    );
  });

  test('that is a race is looked at in the schedule that decided', async () => {
    const { verdict, evidence, timeline: told } = attack('race-poke-window', 'no-heki');
    const run = runAttack(CATALOGUE.find(({ name }) => name === 'race-poke-window') ?? expect.fail(), () =>
      bootMachine({ hypervisor: 'none' }, labBackend),
    );
    expect([verdict, evidence]).toEqual([run.verdict, run.evidence]);
    const life = { ...modelled('no-heki'), attack: 'race-poke-window' };
    expect((await timeline(life)).events).toEqual(told.events);
  });

  test('is one of the catalogue, all of which can be chosen', () => {
    expect(choices().attacks.map(({ name }) => name)).toEqual(CATALOGUE.map(({ name }) => name));
    expect(() => attack('nope', 'hardened')).toThrow('there is no attack nope');
  });
});

/** The frames of ranges, each as the gap behind the last one and its length. */
function framesOfGaps(gaps: readonly number[]): Set<number> {
  const frames = new Set<number>();
  let at = 0;
  for (const [index, number] of gaps.entries()) {
    if (index % 2 === 1) for (let frame = at; frame < at + number; frame++) frames.add(frame);
    at += number;
  }
  return frames;
}
