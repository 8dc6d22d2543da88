import { addressOf, type Gfn, type VirtualAddress } from '@heki/physical-memory';
import { expect, test } from 'vitest';
import type { LabAttack } from '../attack/lab-attack.ts';
import { runAttack } from '../attack/run-attack.ts';
import type { Lab } from '../attacker/lab.ts';
import { attackNamed, boot } from '../testing/backends.ts';

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

test('nor is one whose processor never came out of the trampoline again, though the kernel is mapped there', () => {
  const run = runAttack(attackNamed('sleep-and-resume'), boot('hardened-hlat'));
  expect(run).toMatchObject({ verdict: 'crashes the guest', by: 'kernel fault' });
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

test('what the model does not go on with is not called blocked: nobody stopped it', () => {
  const run = runAttack(
    trying(({ aims, init, second, registers }) => {
      aims.code();
      init();
      // Protected mode with paging, and not long mode.
      second.writeCr(0, registers.cr0);
    }),
    boot('hardened'),
  );
  expect(run).toMatchObject({ verdict: 'not expressible', by: null });
  expect(run.evidence).toContain('32-bit and PAE paging are not modelled');
});

test('a function in whose place other bytes run has another result, whether or not the model knows them', () => {
  const remap = (machine: string) =>
    runAttack(
      trying(({ aims, places, pointAt, frameOf }) => {
        aims.result('the check', places.check);
        // Zeros: ADD [RAX], AL.
        pointAt(places.check, (frameOf(places.keySite) + 8) as Gfn);
      }),
      boot(machine),
    );
  expect(remap('hardened')).toMatchObject({
    verdict: 'succeeds',
    evidence: expect.stringContaining('the check comes to 00'),
  });
  expect(remap('hardened-hlat').verdict).toBe('blocked');
});

test('a function that the kernel cannot call any more is a crash, and what cannot be read any more no success', () => {
  const withoutAccess = (aim: (lab: Lab) => void) =>
    runAttack(
      trying((lab) => {
        aim(lab);
        lab.edit(lab.places.check, (entry) => entry & ~1n);
        lab.cpu.flush(lab.places.check);
      }),
      boot('no-heki'),
    );
  expect(withoutAccess(({ aims, places }) => aims.result('the check', places.check)).verdict).toBe(
    'crashes the guest',
  );
  expect(
    withoutAccess(({ aims, cpu, places }) => aims.register('it', () => cpu.load(places.check, 8).value))
      .verdict,
  ).not.toBe('succeeds');
});

test('an aim at what the kernel cannot do anyway says nothing', () => {
  const nothing = 0xffff_8000_0000_0000n as VirtualAddress;
  const aimAt = (aim: (lab: Lab) => void): string => runAttack(trying(aim), boot('no-heki')).verdict;
  expect(aimAt(({ aims }) => aims.result('it', nothing))).toBe('not expressible');
  expect(aimAt(({ aims, cpu }) => aims.register('it', () => cpu.load(nothing, 8).value))).toBe(
    'not expressible',
  );
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
