import { addressOf, type VirtualAddress } from '@heki/physical-memory';
import { expect, test } from 'vitest';
import type { LabAttack } from '../attack/lab-attack.ts';
import { runAttack } from '../attack/run-attack.ts';
import type { Lab } from '../attacker/lab.ts';
import { boot } from '../testing/backends.ts';

const trying = (run: (lab: Lab) => void): LabAttack => ({
  name: 'a',
  title: 'a',
  gains: 'a',
  source: 'a',
  means: [],
  stoppedBy: [],
  run,
});

test('a success is what memory holds, not what the attack did: a store that changes nothing does not count', () => {
  const run = runAttack(
    trying(({ aims, cpu, places }) => {
      const { value = 0n } = cpu.load(places.credentials, 8);
      aims.bytes('data', places.credentials);
      cpu.store(places.credentials, 8, value);
    }),
    boot('no-heki'),
  );
  expect(run).toMatchObject({ verdict: 'blocked', by: 'no effect' });
});

test('code counts when it ran with its effect on RAX, at the privilege that was aimed at', () => {
  const fromUser = (cpl: 0 | 3) =>
    runAttack(
      trying(({ aims, cpu, page, plant, frameOf, userMapping }) => {
        const data = page();
        plant(data);
        const mapped = userMapping(frameOf(data));
        aims.code(cpl);
        cpu.asUser(() => cpu.run(mapped));
      }),
      boot('hardened'),
    );
  expect(fromUser(3)).toMatchObject({ verdict: 'succeeds' });
  expect(fromUser(0).verdict).not.toBe('succeeds');
});

test('a guest that is dead is never called blocked', () => {
  const run = runAttack(
    trying(({ aims, cpu, places, edit }) => {
      aims.code();
      // The kernel's text is not present any more: nothing of it runs.
      edit(places.alive, (entry) => entry & ~1n);
      cpu.run(places.check);
    }),
    boot('hardened'),
  );
  expect(run.verdict).toBe('crashes the guest');
});

test('what the machine has nothing for is neither stopped nor not stopped', () => {
  const run = runAttack(
    trying(({ aims, secureKernel }) => {
      aims.code();
      secureKernel();
    }),
    boot('hardened'),
  );
  expect(run).toMatchObject({ verdict: 'not expressible', by: null });
});

test('an attack that names no aim says nothing, and is refused', () => {
  expect(() =>
    runAttack(
      trying(() => {}),
      boot('no-heki'),
    ),
  ).toThrow('names no aim');
});

test('the aim is the frame that the kernel had there, wherever its page tables lead afterwards', () => {
  const run = runAttack(
    trying(({ aims, cpu, places, page, pointAt, frameOf }) => {
      aims.bytes('the check', places.check);
      pointAt(places.check, frameOf(page()));
      cpu.store(places.check, 8, 1n);
    }),
    boot('hardened'),
  );
  expect(run.verdict).not.toBe('succeeds');
});

test('a machine is made anew for each attempt, and twice the same gives the same', () => {
  const frames: number[] = [];
  const attack = trying(({ aims, page, frameOf, plant, direct }) => {
    const data = page();
    frames.push(addressOf(frameOf(data)));
    aims.bytes('data', direct(frameOf(data)) as VirtualAddress);
    plant(data);
  });
  const runs = [runAttack(attack, boot('hardened')), runAttack(attack, boot('hardened'))];
  expect(runs[0]).toEqual(runs[1]);
  expect(frames[0]).toBe(frames[1]);
});
