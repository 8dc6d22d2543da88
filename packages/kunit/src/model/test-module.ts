import { type LinuxEvent, MODULE_MEMORY, type ModuleImage, type ModuleMemory } from '@heki/linux';
import { PAGE_SIZE, type VirtualAddress, virtualAddressOf } from '@heki/physical-memory';
import type { TestThread } from '../thread/test-thread.ts';

/** LEA RAX, [RDI+1]; RET; its operand is the fourth byte. */
const ADD_ONE = [0x48, 0x8d, 0x47, 0x01, 0xc3];
/** Where the operand of the module's function lies. */
export const OPERAND = 3n;

const page = (byte: number): Uint8Array => new Uint8Array(PAGE_SIZE).fill(byte);

/** A module with a page of each kind of memory; a function that adds one begins its text. */
export const TEST_MODULE: ModuleImage = {
  name: 'heki_test',
  memory: {
    text: page(0xcc).map((byte, index) => ADD_ONE[index] ?? byte),
    data: page(1),
    rodata: page(2),
    ro_after_init: page(3),
    init_text: page(0x90),
    init_data: page(4),
    init_rodata: page(5),
  },
};

/** A step of a module's life. */
export type ModuleStep = Extract<LinuxEvent, { type: 'module' }>['step'];

/** Loads {@link TEST_MODULE}, and calls `at` at each step of its life with where its memory is. */
export function loadTestModule(
  thread: TestThread,
  at: (step: ModuleStep, memory: ReadonlyMap<ModuleMemory, VirtualAddress>) => void,
): void {
  const mapped: VirtualAddress[] = [];
  const listener = (event: LinuxEvent): void => {
    if (event.type === 'mapped') mapped.push(virtualAddressOf(event.range.start));
    if (event.type !== 'module') return;
    const areas = mapped.slice(0, MODULE_MEMORY.length).entries();
    at(event.step, new Map([...areas].map(([index, start]) => [MODULE_MEMORY[index] ?? 'text', start])));
  };
  thread.listen(listener, () => thread.must('loading a module', thread.kernel.loadModule(TEST_MODULE)));
}
