import { compiledProgram } from '@heki/linux';
import type { Attacker } from '@heki/machine';
import { addressOf, type Gfn, type Gpa, PAGE_SIZE, type VirtualAddress } from '@heki/physical-memory';
import { EntryLow } from '@heki/x86';
import type { LabAttack } from '../attack/lab-attack.ts';
import type { Lab } from '../attacker/lab.ts';
import { MODULE_FUNCTIONS, moduleImage, PAYLOAD, PAYLOAD_QUAD } from '../kernel/functions.ts';
import { race } from './prepared-race.ts';
import { PROCESSOR_RACES } from './processor-races.ts';
import { layOutModule, signModule } from './signed-code.ts';
import { executable, loadedModule, loadedProgram, offset, writable } from './stores.ts';

const RUNS_CODE = 'code of the attacker runs as the kernel';
const FRAME_BITS = 0x000f_ffff_ffff_f000n;

/** A page that came into the module area since. */
interface NewPage {
  readonly va: VirtualAddress;
  readonly frame: Gfn;
}

/**
 * Watches the page-table page behind `near` for what the kernel maps next: the entries that were empty when the watch began.
 *
 * @param pages entries that are watched, from that of `near` on
 */
function watchMappings({ second }: Lab, near: VirtualAddress, pages: number): () => NewPage[] {
  const leaf = second.findEntries(near)?.at(-1);
  if (leaf === undefined) return () => [];
  const first = Number((near >> 12n) & 511n);
  const slots = Array.from({ length: Math.min(pages, 512 - first) }, (_, index) => index);
  const entry = (index: number): bigint => second.load(offset(leaf.address, 8 * index), 8).value ?? 0n;
  const empty = slots.filter((index) => (entry(index) & BigInt(EntryLow.P)) === 0n);
  return () =>
    empty.flatMap((index) => {
      const value = entry(index);
      if ((value & BigInt(EntryLow.P)) === 0n) return [];
      return [{ va: offset(near, index * PAGE_SIZE), frame: Number((value & FRAME_BITS) >> 12n) as Gfn }];
    });
}

/** The frame that the allocator gives away next: the one that was freed last. */
function nextFrame({ prepare, machine }: Lab): Gfn {
  const frame = prepare('allocate a page', (kernel) => kernel.allocatePages());
  machine.kernel.freePages(frame);
  return frame;
}

const eightBytes = (attacker: Attacker, va: VirtualAddress): void => void attacker.store(va, 8, PAYLOAD_QUAD);

/** Attacks that only somebody on another processor can do, while the kernel works. */
export const RACES: readonly LabAttack[] = [
  race({
    attack: {
      name: 'race-module-load',
      title: 'while a module is loaded, store to its text before it becomes read-only',
      gains: 'a signed module, with unsigned code',
      source: 'time of check, time of use: LVBS copies, validates, then protects; litebox 1036',
      means: ['module'],
      stoppedBy: ['signed-code', 'sealed-code'],
    },
    prepare(lab) {
      const near = loadedModule(lab, 'text', 'before');
      lab.aims.code();
      return { watch: watchMappings(lab, near, 24), pages: new Map<VirtualAddress, Gfn>() };
    },
    work: (lab) => void lab.call('load a module', (kernel) => kernel.loadModule(moduleImage('driver'))),
    turn(lab, { watch, pages }) {
      for (const { va, frame } of watch()) {
        pages.set(va, frame);
        eightBytes(lab.second, lab.direct(frame, MODULE_FUNCTIONS.check));
      }
    },
    after(lab, { pages }) {
      for (const va of pages.keys()) lab.cpu.run(offset(va, MODULE_FUNCTIONS.check));
    },
  }),
  race({
    attack: {
      name: 'race-write-against-execute',
      title: 'while a page of data becomes code, execute it and store to it in one turn',
      gains: 'a page is writable and executable at once',
      source: 'Heki v2 16/19: permissions come before the change that they belong to (B-G22, B-H1)',
      means: [],
      stoppedBy: ['execute'],
    },
    prepare(lab) {
      const page = lab.page();
      lab.cpu.store(page, 8, 0xc3n);
      lab.edit(page, (entry) => writable(executable(entry)));
      const seen = { both: false };
      lab.aims.register('turns in which the page ran and took a store', () => (seen.both ? 1n : 0n));
      return { page, seen };
    },
    work: (lab, { page }) => void lab.call('set_memory_rox', (kernel) => kernel.setMemory('rox', page, 1)),
    turn({ second }, { page, seen }) {
      const ran = second.run(page).value?.end === 'returned';
      for (const { address, value } of second.findEntries(page) ?? [])
        second.store(address, 8, writable(value));
      second.flush(page);
      const stored = second.store(offset(page, 64), 8, 1n).step.outcome === 'done';
      const again = second.run(page).value?.end === 'returned';
      if (ran && stored && again) seen.both = true;
    },
  }),
  race({
    attack: {
      name: 'race-stale-translation',
      title:
        'while the kernel makes a page read-only, touch it on another processor; store there when that is done',
      gains: 'what the kernel has sealed still changes',
      source: 'SDM 3C 29.4.3, INVEPT; KVM, is_page_fault_stale and kvm_flush_remote_tlbs',
      means: [],
      stoppedBy: ['late-requests'],
    },
    prepare(lab) {
      const page = lab.page();
      lab.cpu.store(page, 8, 0n);
      lab.aims.bytes('the page', page);
      return page;
    },
    work: (lab, page) => void lab.call('set_memory_ro', (kernel) => kernel.setMemory('ro', page, 1)),
    turn({ second }, page) {
      for (const { address, value } of second.findEntries(page) ?? []) {
        if (writable(value) !== value) second.store(address, 8, writable(value));
      }
      second.flush(page);
      second.store(offset(page, 64), 8, 1n);
    },
    after(lab, page) {
      // By the translation that is there, and by one that the entry gives now.
      eightBytes(lab.second, page);
      lab.edit(page, writable);
      eightBytes(lab.second, page);
    },
  }),
  race({
    attack: {
      name: 'race-validate-module',
      title: 'while VTL1 compares a signed module, store to its text',
      gains: 'a signed module, with code that nobody signed',
      source: 'litebox 1036; LVBS as of February 2026 copies, compares the copy, then protects (B-L6)',
      means: ['hypercalls', 'module'],
      stoppedBy: ['signed-code'],
    },
    prepare(lab) {
      const parts = layOutModule(lab, signModule(lab));
      lab.aims.code();
      return parts;
    },
    work: (lab, { sections }) =>
      void lab.request('VALIDATE_MODULE', () => lab.secureKernel().validateModule(sections, [])),
    turn({ second }, { text: [page] }) {
      if (page !== undefined) eightBytes(second, offset(page, MODULE_FUNCTIONS.check));
    },
    after(lab, { text: [page] }) {
      if (page === undefined) return;
      lab.edit(page, executable);
      lab.cpu.run(offset(page, MODULE_FUNCTIONS.check));
    },
  }),
  race({
    attack: {
      name: 'race-poke-window',
      title: 'while a function of a module is patched, store to other text of its page',
      gains: 'a function of a module is replaced, in a window that is open for every processor',
      source: 'Heki v2 17/19: text_poke opens the page in the second level, which all processors share',
      means: [],
      stoppedBy: ['signed-code', 'sealed-code'],
    },
    prepare(lab) {
      const text = loadedModule(lab);
      const check = offset(text, MODULE_FUNCTIONS.check);
      lab.aims.bytes("the module's text", check, PAYLOAD.length);
      lab.edit(check, writable);
      return { site: offset(text, MODULE_FUNCTIONS.traced), check };
    },
    work: (lab, { site }) => void lab.call('trace a function', (kernel) => kernel.ftraceEnable([site])),
    turn: ({ second }, { check }) => eightBytes(second, check),
  }),
  race({
    attack: {
      name: 'race-bpf-window',
      title: 'while an eBPF program is put into a pack, store to another program on its page',
      gains: 'a program that the kernel has checked is replaced',
      source: 'Heki v2 17/19: the window is of whole pages, and programs share them',
      means: ['eBPF'],
      stoppedBy: ['signed-code'],
    },
    prepare(lab) {
      const program = loadedProgram(lab);
      lab.aims.bytes('the eBPF program', program, PAYLOAD.length);
      lab.edit(program, writable);
      const alias = lab.page();
      lab.pointAt(alias, lab.frameOf(program));
      return { program, alias: offset(alias, Number(program % 4096n)) };
    },
    work: (lab) => void lab.call('compile another', (kernel) => kernel.loadBpfProgram(compiledProgram(256))),
    turn({ second }, { program, alias }) {
      eightBytes(second, program);
      eightBytes(second, alias);
    },
  }),
  race({
    attack: {
      name: 'race-list-page',
      title: 'while the kernel asks for r-x of a page of its own, change the list to a page of the attacker',
      gains: RUNS_CODE,
      source: 'the page list is ordinary memory (Heki v2 11/19)',
      means: ['hypercalls'],
      stoppedBy: ['end-of-boot', 'sealed-code'],
    },
    prepare(lab) {
      const mine = lab.page();
      const legitimate = lab.page();
      lab.plant(mine);
      lab.edit(mine, executable);
      lab.aims.code();
      return {
        mine,
        legitimate,
        frame: lab.frameOf(mine),
        old: lab.frameOf(legitimate),
        list: nextFrame(lab),
      };
    },
    work: (lab, { legitimate }) =>
      void lab.call('set_memory_rox', (kernel) => kernel.setMemory('rox', legitimate, 1)),
    turn({ second, direct }, { frame, old, list }) {
      // The first entry of the list: pa at 24, epa at 32.
      if (second.load(direct(list, 24), 8).value !== BigInt(addressOf(old))) return;
      second.store(direct(list, 24), 8, BigInt(addressOf(frame)));
      second.store(direct(list, 32), 8, BigInt(addressOf(frame) + PAGE_SIZE));
    },
    after: ({ cpu }, { mine }) => void cpu.run(mine),
  }),
  race({
    attack: {
      name: 'race-ftrace-trampoline',
      title: "while ftrace makes its trampoline, store to the trampoline's page before it becomes code",
      gains: RUNS_CODE,
      source: 'Linux, create_trampoline: written, then made read-only and executable',
      means: [],
      stoppedBy: ['signed-code', 'sealed-code'],
    },
    prepare(lab) {
      const text = loadedModule(lab);
      lab.aims.code();
      return {
        site: offset(text, MODULE_FUNCTIONS.traced),
        watch: watchMappings(lab, text, 24),
        pages: new Set<VirtualAddress>(),
      };
    },
    work: (lab, { site }) => void lab.call('trace a function', (kernel) => kernel.ftraceEnable([site])),
    turn({ second, direct }, { watch, pages }) {
      for (const { va, frame } of watch()) {
        pages.add(va);
        eightBytes(second, direct(frame));
      }
    },
    after({ cpu }, { pages }) {
      for (const va of pages) cpu.run(va);
    },
  }),
  race({
    attack: {
      name: 'race-kprobe-slots',
      title: 'while the first kprobe is set, store to the page of slots before it becomes code',
      gains: RUNS_CODE,
      source: 'Linux, alloc_insn_page: made read-only and executable, then written by text_poke',
      means: [],
      stoppedBy: ['signed-code', 'sealed-code'],
    },
    prepare(lab) {
      const text = loadedModule(lab);
      lab.aims.code();
      return {
        check: offset(text, MODULE_FUNCTIONS.check),
        watch: watchMappings(lab, text, 24),
        pages: new Set<VirtualAddress>(),
      };
    },
    work: (lab, { check }) => void lab.call('set a kprobe', (kernel) => kernel.registerKprobe(check)),
    turn({ second, direct }, { watch, pages }) {
      for (const { va, frame } of watch()) {
        pages.add(va);
        // The last slot: no probe takes it so soon.
        eightBytes(second, direct(frame, 0xf00));
      }
    },
    after({ cpu }, { pages }) {
      for (const va of pages) cpu.run(offset(va, 0xf00));
    },
  }),
  race({
    attack: {
      name: 'race-kexec',
      title: 'while the kernel hands over, store to the page that does it after it was looked at',
      gains: 'code of the attacker runs in the place of the next kernel',
      source: 'time of check, time of use: LVBS, kexec_validate',
      means: [],
      stoppedBy: ['signed-code', 'sealed-code'],
    },
    prepare(lab) {
      lab.aims.code();
      return { root: lab.cpu.readCr(3).value ?? 0n, page: nextFrame(lab) };
    },
    work: (lab) => void lab.call('kexec', (kernel) => kernel.kexec()),
    turn: ({ second, direct }, { page }) => eightBytes(second, direct(page)),
    after({ cpu }, { page, root }) {
      // The processor goes on in the page that hands over, which lies at its physical address.
      if (cpu.readCr(3).value === root) return;
      cpu.run(BigInt(addressOf(page)) as VirtualAddress);
      cpu.writeCr(3, root);
    },
  }),
  race({
    attack: {
      name: 'race-unload',
      title:
        "while a module is unloaded, store to its text's frame and run it by a translation that is still there",
      gains: RUNS_CODE,
      source: 'stale TLB entries: SDM 3C 31.4; Linux, VM_FLUSH_RESET_PERMS',
      means: ['module'],
      stoppedBy: ['write', 'execute'],
    },
    prepare(lab) {
      const check = offset(loadedModule(lab), MODULE_FUNCTIONS.check);
      const frame = lab.frameOf(check);
      const alias = lab.direct(frame, MODULE_FUNCTIONS.check);
      lab.aims.code();
      return { check, alias };
    },
    work: (lab) => void lab.call('unload the module', (kernel) => kernel.unloadModule('driver')),
    turn({ second }, { check, alias }) {
      for (const { address, value } of second.findEntries(alias) ?? []) {
        if (writable(value) !== value) second.store(address, 8, writable(value));
      }
      second.flush(alias);
      eightBytes(second, alias);
      second.run(check);
    },
  }),
  race({
    attack: {
      name: 'race-balloon',
      title: 'while a module is loaded, the VMM goes on using a frame that the balloon has given back',
      gains: 'a signed module, with code that the VMM wrote',
      source: 'virtio-balloon: the host keeps what it still maps',
      means: ['VMM'],
      stoppedBy: [],
    },
    prepare(lab) {
      const near = loadedModule(lab, 'text', 'before');
      lab.aims.code();
      return {
        watch: watchMappings(lab, near, 24),
        pages: new Set<VirtualAddress>(),
        frames: new Set<Gfn>(),
      };
    },
    work: (lab) => void lab.call('load a module', (kernel) => kernel.loadModule(moduleImage('driver'))),
    turn(_, { watch, pages, frames }) {
      for (const { va, frame } of watch()) {
        pages.add(va);
        frames.add(frame);
      }
    },
    after(lab, { pages, frames }) {
      for (const frame of frames) lab.vmm.write((addressOf(frame) + MODULE_FUNCTIONS.check) as Gpa, PAYLOAD);
      for (const va of pages) lab.cpu.run(offset(va, MODULE_FUNCTIONS.check));
    },
  }),
  ...PROCESSOR_RACES,
];
