import { compiledProgram, type ModuleMemory } from '@heki/linux';
import { type Attacker, EXECUTE_DISABLE, WRITABLE } from '@heki/machine';
import { type Gfn, PAGE_SIZE, type VirtualAddress } from '@heki/physical-memory';
import { CR0, EntryLow } from '@heki/x86';
import type { LabAttack } from '../attack/lab-attack.ts';
import type { Lab } from '../attacker/lab.ts';
import { MODULE_FUNCTIONS, moduleImage, PAYLOAD } from '../kernel/functions.ts';

/** An address so many bytes further. */
export const offset = (address: VirtualAddress, bytes: number): VirtualAddress =>
  (address + BigInt(bytes)) as VirtualAddress;

export const writable = (entry: bigint): bigint => entry | WRITABLE;
export const executable = (entry: bigint): bigint => entry & ~EXECUTE_DISABLE;

/** A module that the kernel has loaded: where a part of it is. */
export function loadedModule(
  { prepare, notExpressible }: Lab,
  part: ModuleMemory = 'text',
  name = 'driver',
): VirtualAddress {
  const module = prepare('load a module', (kernel) => kernel.loadModule(moduleImage(name)));
  return module.memory.get(part)?.address ?? notExpressible(`the module has no ${part}`);
}

/** An eBPF program that the kernel has compiled: where it lies. */
export const loadedProgram = ({ prepare }: Lab): VirtualAddress =>
  prepare('compile an eBPF program', (kernel) => kernel.loadBpfProgram(compiledProgram(256)));

/** Stores the attacker's code over `target`, which then is called or read. */
function overwrite(
  lab: Lab,
  what: string,
  target: VirtualAddress,
  at: VirtualAddress = target,
  on?: Attacker,
): void {
  lab.aims.bytes(what, target, PAYLOAD.length);
  lab.plant(at, on);
}

/** Opens the entries that map `target`, and stores there. */
function overwriteAfterEdit(lab: Lab, what: string, target: VirtualAddress): void {
  lab.aims.bytes(what, target, PAYLOAD.length);
  lab.edit(target, writable);
  lab.plant(target);
}

const CODE_CHANGES = 'a function of the kernel is replaced';

/** Stores to what must not change. */
export const STORES: readonly LabAttack[] = [
  {
    name: 'store-text',
    title: 'store to kernel text',
    gains: CODE_CHANGES,
    source: 'Heki v2 19/19, KUnit tests 2 and 3',
    means: [],
    stoppedBy: ['write'],
    run: (lab) => overwrite(lab, 'kernel text', lab.places.check),
  },
  {
    name: 'store-text-direct-map',
    title: 'store to kernel text by the direct map',
    gains: CODE_CHANGES,
    source: 'Linux, change_page_attr: aliases are changed along',
    means: [],
    stoppedBy: ['write'],
    run(lab) {
      const { check } = lab.places;
      overwrite(lab, 'kernel text', check, lab.direct(lab.frameOf(check), Number(check % 4096n)));
    },
  },
  {
    name: 'store-text-after-pte-edit',
    title: 'set R/W in the PTE, store to kernel text',
    gains: CODE_CHANGES,
    source: 'Heki v2 00/19; KUnit test 2',
    means: [],
    stoppedBy: ['write'],
    run: (lab) => overwriteAfterEdit(lab, 'kernel text', lab.places.check),
  },
  {
    name: 'store-text-second-mapping',
    title: 'map the frame of kernel text a second time, writable, store there',
    gains: CODE_CHANGES,
    source: 'Microsoft, HVPT (April 2025): aliasing; SecVisor retrospective (CyLab 2008)',
    means: [],
    stoppedBy: ['write'],
    run(lab) {
      const { check } = lab.places;
      const page = lab.page();
      const frame = lab.frameOf(check);
      lab.pointAt(page, frame);
      overwrite(lab, 'kernel text', check, offset(page, Number(check % 4096n)));
    },
  },
  {
    name: 'store-text-large-page',
    title: 'map the 2 MiB around kernel text by one writable entry, store there',
    gains: CODE_CHANGES,
    source:
      'KVM, one leaf over pages with different rights (B-H8); SDM 3C 29.4: what a processor may cache for a large page',
    means: [],
    stoppedBy: ['write'],
    run(lab) {
      const { check } = lab.places;
      const text = lab.frameOf(check);
      const page = lab.page();
      const directory = lab.cpu.findEntries(page)?.find(({ level }) => level === 2);
      if (directory === undefined) return lab.notExpressible('no page directory maps the page');
      const first = (text - (text % 512)) as Gfn;
      lab.aims.bytes('kernel text', check, PAYLOAD.length);
      const large = BigInt(EntryLow.P | EntryLow.RW | EntryLow.A | EntryLow.D | EntryLow.PS);
      lab.cpu.store(directory.address, 8, (BigInt(first) << 12n) | large);
      lab.cpu.flush(page);
      const area = offset(page, -Number(BigInt.asUintN(21, page)));
      // Data of the kernel first: a translation for it may be cached for all of the entry.
      lab.cpu.load(offset(area, 511 * PAGE_SIZE), 8);
      lab.plant(offset(area, (text - first) * PAGE_SIZE + Number(check % 4096n)));
      lab.cpu.store(directory.address, 8, directory.value);
      lab.cpu.flush(page);
    },
  },
  {
    name: 'store-text-wp-clear',
    title: 'clear CR0.WP, store to kernel text',
    gains: CODE_CHANGES,
    source: 'Linux, native_write_cr0: WP is pinned since 5.3',
    means: [],
    stoppedBy: ['write', 'cr-pins'],
    run(lab) {
      const cr0 = lab.cpu.readCr(0).value ?? 0n;
      lab.aims.bytes('kernel text', lab.places.check, PAYLOAD.length);
      lab.cpu.writeCr(0, cr0 & ~CR0.WP);
      lab.plant(lab.places.check);
    },
  },
  {
    name: 'store-text-from-user',
    title: "map kernel text into a program's page tables, store from CPL 3",
    gains: CODE_CHANGES,
    source: 'Dirty Pagetable; SLUBStick (USENIX Security 2024)',
    means: ['user program'],
    stoppedBy: ['write'],
    run(lab) {
      const { check } = lab.places;
      const mapped = lab.userMapping(lab.frameOf(check));
      lab.aims.bytes('kernel text', check, PAYLOAD.length);
      lab.cpu.asUser(() => lab.plant(offset(mapped, Number(check % 4096n))));
    },
  },
  {
    name: 'store-rodata-after-pte-edit',
    title: 'set R/W in the PTE, store to a table of operations in rodata',
    gains: 'the kernel calls what the attacker names',
    source: 'Microsoft, HVPT (April 2025): const data',
    means: [],
    stoppedBy: ['write'],
    run: (lab) => overwriteAfterEdit(lab, 'rodata', lab.places.rodata),
  },
  {
    name: 'walk-over-rodata',
    title: 'use a page of rodata as a page table: walking it sets the accessed flag in what was a constant',
    gains: 'constants change, and no instruction has stored to them',
    source: 'Intel VT-rp; tandasat, "Intel VT-rp, part 2" (August 2023): paging-write',
    means: [],
    stoppedBy: ['write'],
    run(lab) {
      const { one } = lab.places;
      const page = lab.page();
      const directory = lab.cpu.findEntries(page)?.find(({ level }) => level === 2);
      if (directory === undefined) return lab.notExpressible('no page directory maps the page');
      lab.aims.bytes('a constant', one);
      lab.cpu.store(directory.address, 8, (BigInt(lab.frameOf(one)) << 12n) | (directory.value & 0xfffn));
      const area = offset(page, -Number(BigInt.asUintN(21, page)));
      lab.cpu.flush(page);
      // An entry has eight bytes.
      lab.cpu.load(offset(area, (Number(one % 4096n) / 8) * PAGE_SIZE), 8);
      lab.cpu.store(directory.address, 8, directory.value);
      lab.cpu.flush(page);
    },
  },
  {
    name: 'store-idt',
    title: 'set R/W in the PTE, store to the IDT',
    gains: 'exceptions go to the attacker',
    source: 'Linux, idt_setup_traps: the IDT is read-only',
    means: [],
    stoppedBy: ['write'],
    run: (lab) => overwriteAfterEdit(lab, 'the IDT', lab.places.idt),
  },
  {
    name: 'store-vdso',
    title: 'set R/W in the PTE, store to the vDSO, and have a program call it',
    gains: 'code of the attacker runs in every process',
    source: 'vDSO infection, as of the exploit of CVE-2016-5195 (Dirty COW)',
    means: ['user program'],
    stoppedBy: ['write'],
    run(lab) {
      const { vdso } = lab.places;
      const mapped = lab.userMapping(lab.frameOf(vdso));
      lab.aims.code(3);
      lab.edit(vdso, writable);
      lab.plant(vdso);
      lab.cpu.asUser(() => lab.cpu.run(mapped));
    },
  },
  {
    name: 'store-module-text',
    title: "set R/W in the PTE, store to a module's text",
    gains: 'a function of a module is replaced',
    source: 'Heki v2 13/19: what modules load is protected too',
    means: [],
    stoppedBy: ['write'],
    run(lab) {
      const text = loadedModule(lab);
      overwriteAfterEdit(lab, "the module's text", offset(text, MODULE_FUNCTIONS.check));
    },
  },
  {
    name: 'store-module-text-after-poke',
    title: "have a module's function traced, then store to its text",
    gains: 'a function of a module is replaced',
    source: 'Heki v2 8/19 and 9/19: a request for fewer rights is dropped (B-H1)',
    means: [],
    stoppedBy: ['write'],
    run(lab) {
      const text = loadedModule(lab);
      const site = offset(text, MODULE_FUNCTIONS.traced);
      lab.prepare('trace a function of a module', (kernel) => kernel.ftraceEnable([site]));
      overwriteAfterEdit(lab, "the module's text", offset(text, MODULE_FUNCTIONS.check));
    },
  },
  {
    name: 'store-module-rodata',
    title: "set R/W in the PTE, store to a module's rodata",
    gains: 'a driver calls what the attacker names',
    source: 'Heki v2 13/19',
    means: [],
    stoppedBy: ['write'],
    run: (lab) => overwriteAfterEdit(lab, "the module's rodata", loadedModule(lab, 'rodata')),
  },
  {
    name: 'store-bpf',
    title: 'set R/W in the PTE, store to a compiled eBPF program',
    gains: 'code of the attacker runs where the kernel checked a program',
    source: 'Linux, bpf_prog_pack: JIT images are read-only since 5.18',
    means: ['eBPF'],
    stoppedBy: ['write'],
    run: (lab) => overwriteAfterEdit(lab, 'the eBPF program', loadedProgram(lab)),
  },
  {
    name: 'store-trampoline',
    title: 'set R/W in the PTE, store to the trampoline in which processors start',
    gains: 'code of the attacker runs in real mode on the next processor that starts',
    source: 'Linux, set_real_mode_permissions; B-G6',
    means: [],
    stoppedBy: ['write'],
    run(lab) {
      const { kernel } = lab.machine;
      const frame = (kernel.trampoline + kernel.build.trampoline.textStart) as typeof kernel.trampoline;
      overwriteAfterEdit(lab, 'the trampoline', lab.direct(frame));
    },
  },
  {
    name: 'switch-heki-off',
    title: 'set R/W in the PTE, store 0 to heki.protect_memory',
    gains: "the hypervisor hears of no change of the kernel's any more",
    source: 'Heki v2 18/19: protect_memory is a bool of the kernel (B-G17)',
    means: [],
    stoppedBy: ['write'],
    run(lab) {
      const flag = offset(lab.places.heki, 16);
      if (lab.cpu.load(flag, 1).value !== 1n)
        lab.notExpressible('Heki protects nothing that could be switched off');
      lab.aims.bytes('heki.protect_memory', flag, 1);
      lab.edit(flag, writable);
      lab.cpu.store(flag, 1, 0n);
    },
  },
  {
    name: 'hijack-heki-operations',
    title: "set R/W in the PTE, store to the driver's table of operations",
    gains: 'the kernel calls an address of the attacker with its next change of a mapping',
    source: 'Heki v2 4/19: struct heki_hypervisor is data (B-G17)',
    means: [],
    stoppedBy: ['write'],
    run(lab) {
      const { hekiOperations, grant } = lab.places;
      if (lab.machine.heki.hypervisor === undefined) lab.notExpressible('the kernel has no driver for Heki');
      lab.aims.bytes("the driver's table of operations", hekiOperations, 16);
      lab.aims.hijack();
      lab.edit(hekiOperations, writable);
      for (let entry = 0; entry < 2; entry++)
        lab.cpu.store(offset(hekiOperations, 8 * entry), 8, BigInt.asUintN(64, grant));
      const area = lab.page();
      lab.call('set_memory_ro', (kernel) => kernel.setMemory('ro', area, 1));
    },
  },
  {
    name: 'store-credentials',
    title: 'store 0 to the credentials of a process',
    gains: 'the attacker is root: data is meant to be written',
    source: 'CVE exploits of every year; HVMI; LVBS slides',
    means: [],
    stoppedBy: [],
    run({ aims, cpu, places }) {
      aims.bytes('credentials', places.credentials);
      cpu.store(places.credentials, 8, 0n);
    },
  },
];

/** Frames of a page list's entry, as addresses. */
export const pages = (frame: number, count = 1): readonly [bigint, bigint] => [
  BigInt(frame * PAGE_SIZE),
  BigInt((frame + count) * PAGE_SIZE),
];
