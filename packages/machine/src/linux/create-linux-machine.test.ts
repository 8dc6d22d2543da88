import { createKvm } from '@heki/kvm';
import { SMALL_KERNEL } from '@heki/linux';
import { type Gfn, VIRTUAL_FRAME_END, type VirtualFrame } from '@heki/physical-memory';
import { EntryHigh, EntryLow, upperHalfStart, walkMappings } from '@heki/x86';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  createLinuxMachine,
  describeTraceEvent,
  type LinuxMachine,
  MachineError,
  pcMemoryMap,
  type TraceEvent,
} from '../index.ts';

const MEBIBYTE = 2 ** 20;

/** For each frame what the mappings of the kernel half allow together: `w`, `x`. A frame without mappings is data. */
function collective({ memory, kernel, memoryMap }: LinuxMachine): string[] {
  const { levels } = kernel.layout;
  const tables = { memory, root: kernel.pageTableRoot, levels };
  const rights: string[] = new Array(memoryMap.ramEnd).fill('');
  walkMappings(
    tables,
    upperHalfStart(levels),
    VIRTUAL_FRAME_END as VirtualFrame,
    ({ guestFrame, frames, low, high }) => {
      const letters = `r${(low & EntryLow.RW) === 0 ? '' : 'w'}${(high & EntryHigh.XD) === 0 ? 'x' : ''}`;
      for (let at: number = guestFrame; at < Math.min(guestFrame + frames, rights.length); at++)
        rights[at] += letters;
    },
  );
  return rights.map((letters) =>
    letters === '' ? 'w' : (letters.includes('w') ? 'w' : '') + (letters.includes('x') ? 'x' : ''),
  );
}

describe('a kernel that boots in a machine', () => {
  test('has in the second level, of every page, what its mappings allow together', () => {
    const options = fc.record({
      mebibytes: fc.integer({ min: 32, max: 160 }),
      levels: fc.constantFrom(4 as const, 5 as const),
      kaslrSeed: fc.option(fc.nat(2 ** 32 - 1), { nil: undefined }),
      vcpus: fc.integer({ min: 1, max: 3 }),
      hostPage: fc.constantFrom(1 as const, 512 as const, 262144 as const),
    });
    fc.assert(
      fc.property(options, ({ mebibytes, kaslrSeed, ...rest }) => {
        const machine = createLinuxMachine({
          hypervisor: createKvm(),
          memoryMap: pcMemoryMap(mebibytes * MEBIBYTE),
          kernel: SMALL_KERNEL,
          kaslrSeed,
          ...rest,
        });
        expect(machine.kernel.boot()).toMatchObject({ kind: 'done' });
        const wrong: string[] = [];
        for (const [frame, wanted] of collective(machine).entries()) {
          if (!machine.memoryMap.isRam(frame as Gfn)) continue;
          const rights = machine.virtualMachine.effectiveRights(frame as Gfn);
          const granted = (rights?.write ? 'w' : '') + (rights?.supervisorExecute ? 'x' : '');
          if (granted !== wanted) wrong.push(`frame ${frame}: ${granted}, mappings ${wanted}`);
        }
        expect(wrong).toEqual([]);
      }),
      { numRuns: 6 },
    );
  });

  test.each([
    ['heki=0', 'disabled'],
    ['', 'counting'],
  ])('reads its command line: %s', (commandLine, outcome) => {
    const events: TraceEvent[] = [];
    const machine = createLinuxMachine({
      hypervisor: createKvm(),
      memoryMap: pcMemoryMap(64 * MEBIBYTE),
      kernel: SMALL_KERNEL,
      commandLine,
      onEvent: (event) => events.push(event),
    });
    machine.kernel.boot();
    const early = events.flatMap(({ event }) => (event.type === 'heki-early-init' ? [event] : []));
    expect(early).toMatchObject([{ result: { outcome } }]);
    expect(machine.heki.protectsMemory).toBe(outcome === 'counting');
  });

  test('finds no Heki without a driver, and runs unprotected', () => {
    const machine = createLinuxMachine({
      hypervisor: createKvm(),
      memoryMap: pcMemoryMap(64 * MEBIBYTE),
      kernel: SMALL_KERNEL,
      driver: undefined,
    });
    expect(machine.kernel.boot()).toMatchObject({ kind: 'done' });
    expect(machine.heki.protectsMemory).toBe(false);
    expect(machine.virtualMachine.statistics.hypercalls.size).toBe(0);
  });

  test('reports into one trace, of the processors only when that is asked for', () => {
    const lines = (processorEvents: boolean) => {
      const all: string[] = [];
      const hypervisor = createKvm();
      const machine = createLinuxMachine({
        hypervisor,
        memoryMap: pcMemoryMap(64 * MEBIBYTE),
        kernel: SMALL_KERNEL,
        vcpus: 2,
        processorEvents,
        onEvent: (event) => all.push(describeTraceEvent(hypervisor, event)),
      });
      machine.kernel.boot();
      machine.kernel.loadModule({ name: 'm', memory: { text: new Uint8Array(10) } });
      machine.kernel.ftraceEnable([machine.kernel.address('_text')]);
      return all;
    };
    const quiet = lines(false);
    expect(quiet).toContain('kernel   mark_rodata_ro');
    expect(quiet).toContain('kernel   processor 1 is online');
    expect(quiet).toContain('kernel   module m: live');
    expect(quiet.some((line) => line.startsWith('guest    page list at'))).toBe(true);
    expect(quiet.some((line) => line.startsWith('vcpu'))).toBe(false);
    expect(lines(true).some((line) => line.startsWith('vcpu1    mov cr0'))).toBe(true);
  });
});

describe('a machine is not made', () => {
  test.each([0, 1.5, 2000])('with %s virtual CPUs', (vcpus) => {
    const options = { hypervisor: createKvm(), memoryMap: pcMemoryMap(64 * MEBIBYTE), vcpus };
    expect(() => createLinuxMachine(options)).toThrow(MachineError);
  });

  test.each([0, MEBIBYTE, 64 * MEBIBYTE + 1, Number.NaN, 2 ** 50])('with %s bytes of memory', (bytes) => {
    expect(() => pcMemoryMap(bytes)).toThrow(MachineError);
  });
});

test('memory of a PC has a hole below 1 MiB, and from 3.5 GiB on one below 4 GiB', () => {
  const ranges = (bytes: number) => pcMemoryMap(bytes).entries.map(({ start, end }) => [start, end]);
  expect(ranges(64 * MEBIBYTE)).toEqual([
    [1, 0x9f],
    [0x100, 0x4000],
  ]);
  expect(ranges(4096 * MEBIBYTE)).toEqual([
    [1, 0x9f],
    [0x100, 0xc_0000],
    [0x10_0000, 0x14_0000],
  ]);
});
