import { createHyperv } from '@heki/hyperv';
import { SMALL_KERNEL } from '@heki/linux';
import { initHekiOnLvbs } from '@heki/paravirt';
import type { Gfn } from '@heki/physical-memory';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { beginLife, createScenarioMachine, runSteps } from './index.ts';
import { framesBehind } from './life.ts';
import { randomLives, stepOf } from './testing/random-life.ts';

const RUNS = process.env.HEKI_FUZZ === 'long' ? 100 : 4;
const PROCESSORS = 2;

test('where a secure kernel validates code, no life makes a page writable and executable, or opens the image', () => {
  fc.assert(
    fc.property(randomLives(30, PROCESSORS), (choices) => {
      const machine = createScenarioMachine(
        { machine: { memory: '32MiB', vcpus: PROCESSORS, pluggable: 1 }, steps: [] },
        {
          hypervisor: createHyperv,
          kernel: SMALL_KERNEL,
          driver: initHekiOnLvbs,
        },
      );
      const { kernel, memoryMap, virtualMachine } = machine;
      expect(kernel.boot().kind).toBe('done');
      expect(machine.heki.secureKernel).toBeDefined();
      const life = beginLife(machine);
      const granted = (frame: number): string => {
        const { read, write, supervisorExecute } = virtualMachine.effectiveRights(frame as Gfn) ?? {};
        return `${read ? 'r' : '-'}${write ? 'w' : '-'}${supervisorExecute ? 'x' : '-'}`;
      };
      const textPages = Math.ceil((kernel.build.offsets._etext - kernel.build.offsets._text) / 4096);
      const text = framesBehind(machine, kernel.address('_text'), textPages);
      for (const [serial, choice] of choices.entries()) {
        const step = stepOf(life, choice, serial);
        if (step === undefined) continue;
        const [result] = runSteps(life, [step]);
        expect(result?.verdict, JSON.stringify(result)).not.toBe('oops');
        const open: number[] = [];
        for (let frame = 0; frame < memoryMap.ramEnd; frame++) {
          if (memoryMap.isRam(frame as Gfn) && granted(frame) === 'rwx') open.push(frame);
        }
        expect(open).toEqual([]);
        expect(new Set(text.map(granted))).toEqual(new Set(['r-x']));
        for (const module of life.modules.values()) {
          const kinds = [...module.memory].flatMap(([kind, { address, pages }]) =>
            framesBehind(machine, address, pages).map((frame) => `${kind} ${granted(frame)}`),
          );
          expect(
            kinds.every((one) => /^(text r-x|rodata r--|ro_after_init r--|data rw-)$/.test(one)),
            kinds.join(),
          ).toBe(true);
        }
      }
    }),
    { numRuns: RUNS },
  );
}, 600_000);
