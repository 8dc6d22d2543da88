import { type Gfn, PAGE_SIZE, type VirtualAddress } from '@heki/physical-memory';
import { CR4 } from '@heki/x86';
import type { LabAttack } from '../attack/lab-attack.ts';
import type { Lab } from '../attacker/lab.ts';
import { MARK, MODULE_FUNCTIONS, moduleImage, PAYLOAD, PAYLOAD_QUAD } from '../kernel/functions.ts';
import { executable, loadedModule, loadedProgram, offset, writable } from './stores.ts';

/** The system BIOS of a PC, below 1 MiB. */
const BIOS = 0xf0 as Gfn;
const RUNS_CODE = 'code of the attacker runs as the kernel';

/** Puts code at `va`, lets it be executed by the page tables, and calls it. */
function runThere(lab: Lab, va: VirtualAddress): void {
  lab.aims.code();
  lab.plant(va);
  lab.edit(va, executable);
  lab.cpu.run(va);
}

/** The same by the direct map, for a frame that lay elsewhere once. */
function runFreed(lab: Lab, code: VirtualAddress, free: () => void): void {
  const page = lab.direct(lab.frameOf(code), 0x200);
  free();
  lab.edit(page, writable);
  runThere(lab, page);
}

/** The frames of a module that was loaded and is gone. */
function framesOfNextModule(lab: Lab): Gfn[] {
  const { memory } = lab.prepare('load a module', (kernel) => kernel.loadModule(moduleImage('before')));
  const frames = [...memory.values()].flatMap(({ address, pages }) =>
    Array.from({ length: pages }, (_, page) => lab.frameOf(offset(address, page * PAGE_SIZE))),
  );
  lab.prepare('unload it', (kernel) => kernel.unloadModule('before'));
  return frames;
}

/** The attacker's code runs, from where it never should. */
export const EXECUTION: readonly LabAttack[] = [
  {
    name: 'execute-data',
    title: 'clear NX in the PTE, execute a page of data',
    gains: RUNS_CODE,
    source: 'Heki v2 19/19, KUnit test 4',
    means: [],
    stoppedBy: ['execute'],
    run: (lab) => runThere(lab, lab.page()),
  },
  {
    name: 'execute-direct-map',
    title: 'clear NX in the direct map, execute a page of data there',
    gains: RUNS_CODE,
    source: 'ret2dir (USENIX Security 2014)',
    means: [],
    stoppedBy: ['execute'],
    run: (lab) => runThere(lab, lab.direct(lab.frameOf(lab.page()))),
  },
  {
    name: 'execute-plugged-memory',
    title: 'clear NX in the direct map, execute a page of memory that was plugged in after boot',
    gains: RUNS_CODE,
    source: 'Heki v2 10/19: a frame without attributes has all rights (B-H7)',
    means: [],
    stoppedBy: ['default-rights'],
    run(lab) {
      const section = lab.machine.plugMemory() ?? lab.notExpressible('no memory can be plugged in');
      lab.prepare('take the memory that was plugged in', (kernel) => kernel.addMemory(section));
      runThere(lab, lab.direct(section.start));
    },
  },
  {
    name: 'execute-firmware',
    title: 'map a page of the firmware, writable and executable, store code there, execute it',
    gains: 'code of the attacker runs as the kernel, where EFI runtime services and the BIOS lie',
    source: 'Microsoft, HVCI and the Memory Attributes Table: runtime services are mapped RWX',
    means: [],
    // A kernel that calls runtime services would have to request their code, and this one does not.
    stoppedBy: ['execute'],
    run(lab) {
      const page = lab.page();
      lab.pointAt(page, BIOS);
      lab.edit(page, writable);
      lab.plant(page);
      if (lab.cpu.load(page, 8).value !== PAYLOAD_QUAD)
        lab.notExpressible('no memory that can be written lies where the firmware is');
      runThere(lab, page);
    },
  },
  {
    name: 'execute-freed-module',
    title: "unload a module, and execute the page of data that its text's frame has become",
    gains: RUNS_CODE,
    source: 'Heki v2 16/19: vfree has no hook for the direct map (B-G4, B-H1)',
    means: [],
    stoppedBy: ['execute'],
    run(lab) {
      const text = loadedModule(lab);
      runFreed(lab, text, () => lab.prepare('unload it', (kernel) => kernel.unloadModule('driver')));
    },
  },
  {
    name: 'execute-freed-bpf',
    title: 'free an eBPF program, and execute the page of data that its frame has become',
    gains: RUNS_CODE,
    source: 'Heki v2 8/19: what was patched once is never narrowed (B-H1)',
    means: ['eBPF'],
    stoppedBy: ['execute'],
    run(lab) {
      const program = loadedProgram(lab);
      runFreed(lab, program, () => lab.prepare('free it', (kernel) => kernel.unloadBpfProgram(program)));
    },
  },
  {
    name: 'execute-user-page',
    title: 'clear CR4.SMEP, call a page of a user program',
    gains: RUNS_CODE,
    source: 'ret2usr; Heki v2 19/19, KUnit test 1',
    means: ['user program'],
    stoppedBy: ['cr-pins', 'execute-by-privilege'],
    run(lab) {
      const page = lab.page();
      const mapped = lab.userMapping(lab.frameOf(page));
      const cr4 = lab.cpu.readCr(4).value ?? 0n;
      lab.aims.code();
      lab.plant(page);
      lab.cpu.writeCr(4, cr4 & ~CR4.SMEP);
      lab.cpu.run(mapped);
    },
  },
  {
    name: 'execute-shifted-bpf',
    title: 'have code compiled into the constants of an eBPF program, jump into the middle of one',
    gains: RUNS_CODE,
    source: 'JIT spraying (Blazakis 2010); Linux, BPF constant blinding',
    means: ['eBPF'],
    stoppedBy: ['signed-code', 'sealed-code'],
    run(lab) {
      // MOV RAX, imm64, which the model's processor need not know: the constant is what is jumped to.
      const program = Uint8Array.of(0x48, 0xb8, ...PAYLOAD, 0x90, 0x90, 0xc3);
      lab.aims.code();
      const address = lab.call('compile an eBPF program', (kernel) => kernel.loadBpfProgram(program));
      if (address !== undefined) lab.cpu.run(offset(address, 2));
    },
  },
  {
    name: 'execute-blinded-bpf',
    title: 'blind a constant of an eBPF program so that both halves are code, jump into the first',
    gains: RUNS_CODE,
    source:
      'JIT spraying (Blazakis 2010); Linux, bpf_jit_blind_constants: the kernel draws for itself, and it is the attacker who commands it',
    means: ['eBPF'],
    stoppedBy: ['signed-code', 'sealed-code'],
    run(lab) {
      // A frame; MOV R10D, first; XOR R10D, second; LEAVE; RET: what Linux makes of a constant, whatever the halves are.
      const first = [0x90, 0x90, 0x90, 0xb8];
      const second = [0x60, 0xc3, 0x90, 0x90];
      const halves = [0x41, 0xba, ...first, 0x41, 0x81, 0xf2, ...second];
      const program = Uint8Array.of(0x55, 0x48, 0x89, 0xe5, ...halves, 0xc9, 0xc3);
      // From the first half on: three no-ops, MOV EAX, the opcode of XOR and 60; RET.
      lab.aims.code(0, 0x60f2_8141n);
      const address = lab.call('compile an eBPF program', (kernel) => kernel.loadBpfProgram(program));
      if (address !== undefined) lab.cpu.run(offset(address, 6));
    },
  },
  {
    name: 'call-function',
    title: 'call commit_creds(&init_cred) out of turn',
    gains: 'the attacker is root, by code of the kernel',
    source: 'return-oriented programming (Shacham 2007); only control-flow integrity stops it',
    means: [],
    stoppedBy: [],
    run({ aims, cpu, places }) {
      aims.reached('commit_creds', places.grant);
      cpu.run(places.grant);
    },
  },
  {
    name: 'execute-text-elsewhere',
    title: 'map kernel text at an address of the attacker, and run it there',
    gains: 'what that code calls, relative to itself, is what the attacker has put there',
    source: 'tandasat, "Intel VT-rp, part 2" (August 2023): what guest-paging verification is for',
    means: [],
    stoppedBy: ['hlat'],
    run(lab) {
      const { check } = lab.places;
      const page = lab.page();
      const there = offset(page, Number(check % 4096n));
      lab.aims.reached('security_capable, at an address of the attacker,', there);
      lab.pointAt(page, lab.frameOf(check));
      lab.edit(page, executable);
      lab.cpu.run(there);
    },
  },
  {
    name: 'execute-module-elsewhere',
    title:
      'map the frames that a module is about to get as code at addresses of the attacker, have it loaded, run its text there',
    gains: 'what that code calls, relative to itself, is what the attacker has put there',
    source:
      'an owner of translations that takes mappings as they are when frames become code: SecVisor retrospective (CyLab 2008)',
    means: ['module'],
    stoppedBy: ['hlat'],
    run(lab) {
      // The allocator gives frames away again that came back last.
      const aliases = framesOfNextModule(lab).map((frame) => {
        const page = lab.page();
        lab.pointAt(page, frame);
        lab.edit(page, executable);
        return { page, frame };
      });
      const text = loadedModule(lab);
      // A function on each of its two pages.
      const there = [MODULE_FUNCTIONS.check, MODULE_FUNCTIONS.staticCall].flatMap((at) =>
        aliases
          .filter(({ frame }) => frame === lab.frameOf(offset(text, at)))
          .map(({ page }) => offset(page, at % PAGE_SIZE)),
      );
      if (there.length === 0) lab.notExpressible('the module has got other frames');
      for (const address of there) {
        lab.aims.reached('a function of the module, at an address of the attacker,', address);
        lab.cpu.run(address);
      }
    },
  },
  {
    name: 'remap-text',
    title: 'point the PTE of a security check at another page of kernel text',
    gains: 'a check of the kernel says yes, and no byte of it has changed',
    source: 'Intel VT-rp, A. Allievi; tandasat, "Intel VT-rp, part 1" (July 2023)',
    means: [],
    stoppedBy: ['hlat'],
    run(lab) {
      const { check, allow } = lab.places;
      lab.aims.result('security_capable', check);
      lab.pointAt(check, lab.frameOf(allow));
    },
  },
  {
    name: 'remap-module-text',
    title: "point the PTE of a module's text at a page of kernel text",
    gains: 'a function of a module becomes another one',
    source: 'Intel VT-rp; Microsoft, HVPT (April 2025)',
    means: [],
    stoppedBy: ['hlat'],
    run(lab) {
      const text = loadedModule(lab);
      lab.aims.result("the module's check", offset(text, MODULE_FUNCTIONS.check));
      lab.pointAt(text, lab.frameOf(lab.places.allow));
    },
  },
  {
    name: 'remap-rodata',
    title: 'point the PTE of a table of operations at a page of the attacker',
    gains: 'the kernel calls what the attacker names, and rodata is as it was',
    source: 'Microsoft, HVPT (April 2025): what KDP alone does not stop',
    means: [],
    stoppedBy: ['hlat'],
    run(lab) {
      const { rodata } = lab.places;
      const page = lab.page();
      lab.aims.register('the first of the operations', () => lab.cpu.load(rodata, 8).value);
      lab.cpu.store(offset(page, Number(rodata % 4096n)), 8, BigInt(MARK));
      lab.pointAt(rodata, lab.frameOf(page));
    },
  },
  {
    name: 'remap-idt',
    title: 'point the PTE of the IDT at a page of the attacker',
    gains: 'exceptions go to the attacker, and the IDT is as it was',
    source: 'Intel VT-rp; Heki v2 knows rights alone',
    means: [],
    stoppedBy: ['hlat'],
    run(lab) {
      const { idt } = lab.places;
      const page = lab.page();
      lab.aims.register('the first gate', () => lab.cpu.load(idt, 8).value);
      lab.cpu.store(page, 8, BigInt(MARK));
      lab.pointAt(idt, lab.frameOf(page));
    },
  },
];
