import { Errno, type ModuleMemory } from '@heki/linux';
import { type Gfn, PAGE_SIZE, type VirtualAddress } from '@heki/physical-memory';
import type { Kunit, KunitCase } from '../framework/suite.ts';
import type { TestThread } from '../thread/test-thread.ts';
import { expectRights, secondLevelRights } from './rights.ts';
import { loadTestModule, type ModuleStep, OPERAND, TEST_MODULE } from './test-module.ts';

type Rights = { readonly [type in ModuleMemory]: string };

const DATA: Rights = {
  text: 'rw-',
  data: 'rw-',
  rodata: 'rw-',
  ro_after_init: 'rw-',
  init_text: 'rw-',
  init_data: 'rw-',
  init_rodata: 'rw-',
};
const FORMED: Rights = { ...DATA, text: 'r-x', rodata: 'r--', init_text: 'r-x', init_rodata: 'r--' };
const LIVE: Rights = { ...FORMED, ro_after_init: 'r--' };

/** A case that holds what each kind of a module's memory may at one step of its life. */
function stepCase(name: string, step: ModuleStep, expected: Rights): KunitCase<TestThread> {
  return {
    name,
    run(test, thread) {
      loadTestModule(thread, (now, memory) => {
        if (now !== step) return;
        for (const [type, address] of memory) expectRights(test, thread, type, address, expected[type]);
      });
    },
  };
}

/** Loads the module and gives where its text is. */
function loadedText(test: Kunit, thread: TestThread): VirtualAddress {
  const module = thread.must('loading a module', thread.kernel.loadModule(TEST_MODULE));
  const address = module.memory.get('text')?.address;
  return address ?? test.skip('the module has no text');
}

function expectCall(test: Kunit, thread: TestThread, function_: VirtualAddress, expected: bigint): void {
  const result = thread.call(function_, 3n);
  test.expect(result === expected, `the function of the module to give ${expected}`, `it gives ${result}`);
}

/** Frames of the module's memory by kind, while it is there. */
function loadAndRemember(thread: TestThread): ReadonlyMap<ModuleMemory, Gfn> {
  const frames = new Map<ModuleMemory, Gfn>();
  loadTestModule(thread, (step, memory) => {
    if (step !== 'live') return;
    for (const [type, address] of memory) frames.set(type, thread.frameOf(address));
  });
  return frames;
}

/** A module's life, patching of its text, and what its pages are afterwards. */
export const MODULE_CASES: readonly KunitCase<TestThread>[] = [
  stepCase('module_allocated', 'allocated', DATA),
  stepCase('module_formed', 'formed', FORMED),
  stepCase('module_live', 'live', LIVE),
  {
    name: 'module_function',
    run(test, thread) {
      expectCall(test, thread, loadedText(test, thread), 4n);
    },
  },
  {
    name: 'module_init_freed',
    run(test, thread) {
      for (const [type, frame] of loadAndRemember(thread)) {
        if (!type.startsWith('init_')) continue;
        expectRights(test, thread, `the freed page of ${type}`, thread.direct(frame), 'rw-');
      }
    },
  },
  {
    name: 'module_unloaded',
    run(test, thread) {
      const frames = loadAndRemember(thread);
      thread.must('unloading', thread.kernel.unloadModule(TEST_MODULE.name));
      for (const [type, frame] of frames) {
        expectRights(test, thread, `the freed page of ${type}`, thread.direct(frame), 'rw-');
      }
    },
  },
  {
    name: 'module_on_reused_pages',
    run(test, thread) {
      const first = loadAndRemember(thread);
      thread.must('unloading', thread.kernel.unloadModule(TEST_MODULE.name));
      const used = new Set(first.values());
      let reused = 0;
      loadTestModule(thread, (step, memory) => {
        if (step !== 'live') return;
        for (const [type, address] of memory) {
          if (used.has(thread.frameOf(address))) reused++;
          expectRights(test, thread, type, address, LIVE[type]);
        }
      });
      test.expect(reused > 0, 'the second module to be given pages of the first', 'it has none of them');
    },
  },
  {
    name: 'vmalloc_on_reused_pages',
    run(test, thread) {
      const used = new Set(loadAndRemember(thread).values());
      thread.must('unloading', thread.kernel.unloadModule(TEST_MODULE.name));
      const { address, pages } = thread.must('vmalloc', thread.kernel.vmalloc(8));
      let reused = 0;
      for (let index = 0; index < pages; index++) {
        const at = (address + BigInt(index * PAGE_SIZE)) as VirtualAddress;
        if (used.has(thread.frameOf(at))) reused++;
        expectRights(test, thread, `page ${index} of vmalloc`, at, 'rw-');
      }
      test.expect(reused > 0, 'vmalloc to be given pages of the module', 'it has none of them');
    },
  },
  {
    name: 'text_poke_module',
    run(test, thread) {
      const text = loadedText(test, thread);
      const operand = (text + OPERAND) as VirtualAddress;
      let meanwhile = 'never seen';
      thread.listen(
        (event) => {
          if (event.type === 'text-poke') meanwhile = secondLevelRights(thread, text);
        },
        () => thread.must('text_poke', thread.kernel.textPoke(operand, Uint8Array.of(2))),
      );
      test.expect(
        meanwhile.startsWith('rw'),
        'the text to be writable while text_poke lasts',
        `it is ${meanwhile}`,
      );
      expectRights(test, thread, 'the text afterwards', text, 'r-x');
      expectCall(test, thread, text, 5n);
    },
  },
  {
    name: 'text_poke_core',
    run(test, thread) {
      const text = thread.kernel.address('_text');
      const before = thread.readByte(text);
      const error = thread.errorOf(thread.kernel.textPoke(text, Uint8Array.of(before ^ 0xff)));
      test.expect(
        error === -Errno.EPERM,
        'text_poke() of immutable text to return -EPERM',
        `it returned ${error}`,
      );
      const after = thread.readByte(text);
      test.expect(after === before, 'the text to be as before', `it was patched to ${after}`);
    },
  },
];
