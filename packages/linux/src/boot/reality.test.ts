import { describe, expect, test } from 'vitest';
import { createLinuxKernel } from '../create-kernel.ts';
import type { LinuxKernel } from '../linux-kernel.ts';
import { type Fixture, type PermissionRange, type RealLeaf, readFixture } from '../testing/fixture.ts';
import {
  type BareMachine,
  clip,
  collectivePermissions,
  createBareMachine,
  kernelLeaves,
  rangeLine,
} from '../testing/machine.ts';
import { done } from '../testing/running-kernel.ts';
import type { BootStep } from './boot-steps.ts';

/** Pages of the image's mapping: 42 MiB. */
const IMAGE_PAGES = 21 * 512;
/** Frames below 4 GiB, where devices are too. */
const FOUR_GIB = 2 ** 20;
const MODULES = 0xf_ffff_fffc_0000;

/** A model built like the real kernel `name`, booted up to a step; with `program` it loads an eBPF program among its initcalls. */
function model(name: string, before: BootStep | undefined, program = false) {
  const fixture = readFixture(name);
  const machine = createBareMachine(fixture.memoryMap);
  const kernel = createLinuxKernel({ ...machine, ...fixture });
  if (program) {
    done(kernel.boot({ before: 'free_initmem' }));
    done(kernel.loadBpfProgram(Uint8Array.of(0xc3)));
  }
  done(kernel.boot({ before }));
  return { fixture, machine, kernel };
}

function permissions({ fixture, machine, kernel }: ReturnType<typeof model>): PermissionRange[] {
  const { levels } = fixture.layout;
  const tables = { memory: machine.memory, root: kernel.pageTableRoot, levels };
  return collectivePermissions(tables, Math.max(fixture.memoryMap.ramEnd, FOUR_GIB));
}

/** The leaves of the model from `start` on, as a fixture has them. */
function leavesFrom(machine: BareMachine, kernel: LinuxKernel, start: number, end: number): RealLeaf[] {
  const leaves: RealLeaf[] = [];
  const { levels } = kernel.layout;
  kernelLeaves({ memory: machine.memory, root: kernel.pageTableRoot, levels }, (leaf) => {
    if (leaf.virtualFrame < start || leaf.virtualFrame >= end) return;
    leaves.push({
      virtualFrame: leaf.virtualFrame,
      guestFrame: leaf.guestFrame,
      large: leaf.level > 1,
      writable: (leaf.low & 2) !== 0,
      executable: leaf.high >>> 31 === 0,
    });
  });
  return leaves;
}

const between = ({ leaves }: Fixture, start: number, end: number): RealLeaf[] =>
  leaves.filter(({ virtualFrame }) => virtualFrame >= start && virtualFrame < end);

describe.each([
  ['stage61-rest_init', 'rest_init'],
  ['stage61-mark_rodata_ro', 'mark_rodata_ro'],
  ['stage61-run_init_process', 'run_init_process'],
] as const)('a kernel like the real one of %s, stopped there', (name, step) => {
  const built = model(name, step);
  const { fixture, machine, kernel } = built;
  const { text, textFrame, directMap } = fixture.layout;

  test('allows for the image and its alias in the direct map, over all mappings, what the real one allows', () => {
    const image = (ranges: readonly PermissionRange[]): string[] =>
      clip(ranges, textFrame, textFrame + IMAGE_PAGES).map(rangeLine);
    const expected = image(fixture.ranges);
    expect(expected.length).toBeGreaterThan(3);
    expect(image(permissions(built))).toEqual(expected);
  });

  test('has the same leaves over the image, split where the real one has split them', () => {
    const expected = between(fixture, text - 4096, MODULES);
    expect(expected.length).toBeGreaterThan(500);
    expect(leavesFrom(machine, kernel, text - 4096, MODULES)).toEqual(expected);
  });

  test('has the same leaves in the direct map, over the image and below', () => {
    const end = directMap + textFrame + IMAGE_PAGES;
    const expected = between(fixture, directMap, end);
    expect(expected.length).toBeGreaterThan(500);
    expect(leavesFrom(machine, kernel, directMap, end)).toEqual(expected);
  });

  test('has the same cpu_entry_area, but for the frames', () => {
    const area = (leaves: readonly RealLeaf[]): object[] =>
      leaves.map((leaf) => ({ ...leaf, guestFrame: 0 }));
    const [start, end] = [0xf_ffff_e000_0000, 0xf_ffff_e000_1000];
    const expected = area(between(fixture, start, end));
    expect(expected).toHaveLength(16);
    expect(area(leavesFrom(machine, kernel, start, end))).toEqual(expected);
  });

  test('differs elsewhere only where something runs that is not modelled', () => {
    // A real kernel has one program from its initcalls on, for sockets.
    const differences = compare(fixture.ranges, permissions(model(name, step, step !== 'rest_init')));
    const explained = differences.map((difference) => ({ ...difference, reason: reasonFor(difference) }));
    for (const { start, end, real, model: mine, reason } of explained) {
      const range = rangeLine({ start, end, letters: '' });
      console.info(`${name}: ${range}real ${real}, model ${mine}: ${reason}`);
    }
    expect(explained.filter(({ reason }) => reason === undefined)).toEqual([]);
    // One pack of 2 MiB in both, and two areas of devices.
    const pages = (side: 'real' | 'model'): number =>
      explained.reduce((sum, one) => sum + (one[side] === 'r-x' ? one.end - one.start : 0), 0);
    const pack = step === 'rest_init' ? 0 : 512;
    expect([pages('real'), pages('model')]).toEqual([pack, pack]);
    expect(explained.filter((one) => one.real !== 'r-x' && one.model !== 'r-x')).toHaveLength(2);
  });
});

interface Difference {
  readonly start: number;
  readonly end: number;
  readonly real: string;
  readonly model: string;
}

/** Every stretch of frames about which two kernels disagree. */
function compare(real: readonly PermissionRange[], mine: readonly PermissionRange[]): Difference[] {
  const bounds = [...real, ...mine].flatMap(({ start, end }) => [start, end]).sort((a, b) => a - b);
  const at = (ranges: readonly PermissionRange[], frame: number): string =>
    ranges.find(({ start, end }) => frame >= start && frame < end)?.letters ?? '---';
  const found: { start: number; end: number; real: string; model: string }[] = [];
  for (const [index, start] of bounds.entries()) {
    const end = bounds[index + 1] ?? start;
    const difference = { start, end, real: at(real, start), model: at(mine, start) };
    if (start === end || difference.real === difference.model) continue;
    const last = found.at(-1);
    const joins = last?.end === start && last.real === difference.real && last.model === difference.model;
    if (last !== undefined && joins) last.end = end;
    else found.push(difference);
  }
  return found;
}

function reasonFor({ start, end, real, model: mine }: Difference): string | undefined {
  if (start === 0xffe0 && end === 0xffe2)
    return 'ACPI tables that the firmware left behind the RAM, ioremapped';
  if (start === 0xfed00) return 'the HPET, ioremapped';
  if ((real === 'r-x' && mine === 'rw-') || (real === 'rw-' && mine === 'r-x'))
    return 'the pack for eBPF programs: two page allocators with different pasts have given it different pages';
  return undefined;
}

describe.each([
  ['k61-256-nokaslr', 'without KASLR'],
  ['k61-256-kaslr', 'where KASLR has put it'],
  ['k61-256-la57-kaslr', 'with 5-level paging and KASLR'],
  ['k61-256-nokaslr-pti', 'with page-table isolation'],
  ['k61-256-rodataoff', 'with rodata=off'],
  ['k61-4g-nokaslr', 'with 4 GiB'],
  ['k61-2g-allmods', 'with 761 modules'],
])('a kernel like the real one of %s, %s', (name) => {
  const built = model(name, undefined);
  const { fixture, machine, kernel } = built;
  const { text, textFrame, directMap } = fixture.layout;

  test('has the leaves of the real one over its image', () => {
    const expected = between(fixture, text, text + IMAGE_PAGES);
    expect(expected.length).toBeGreaterThan(500);
    expect(leavesFrom(machine, kernel, text, text + IMAGE_PAGES)).toEqual(expected);
  });

  test('allows for every page of the image that is in use what the real one allows', () => {
    // Freed init memory belongs to whoever got it from the page allocator later.
    const { offsets } = fixture.build;
    const freed = (offsets.__init_begin + 4095) / 4096;
    for (const [start, end] of [
      [0, Math.floor(freed)],
      [offsets.__nosave_begin / 4096, offsets.__start_bss_decrypted_unused / 4096],
    ] as const) {
      const part = (ranges: readonly PermissionRange[]): string[] =>
        clip(ranges, textFrame + start, textFrame + end).map(rangeLine);
      expect(part(permissions(built))).toEqual(part(fixture.ranges));
    }
  });

  test('maps the image in the direct map with leaves of the same size and rights', () => {
    const start = directMap + textFrame;
    const end = start + fixture.build.offsets.__init_begin / 4096;
    expect(leavesFrom(machine, kernel, start, end)).toEqual(between(fixture, start, end));
  });
});
