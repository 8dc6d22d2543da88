import { KEXEC_CONTROL_PAGE } from '@heki/linux';
import { addressOf, type Gpa, PAGE_SIZE, type VirtualAddress } from '@heki/physical-memory';
import type { LabAttack } from '../attack/lab-attack.ts';
import type { Lab } from '../attacker/lab.ts';
import { MODULE_FUNCTIONS, moduleImage, PAYLOAD, withdrawnModule } from '../kernel/functions.ts';
import { executable, loadedModule, offset, pages, writable } from './stores.ts';

const RUNS_CODE = 'code of the attacker runs as the kernel';
/** MEM_ATTR bits (Heki v2 10/19). */
const [READ, WRITE, EXECUTE, IMMUTABLE] = [1n, 2n, 4n, 8n];
/** Entries that a list page has room for. */
const MOST_ENTRIES = 169n;

/** A list page: where the next one is, how many entries it says it has, and entries. */
function listPage(
  next: bigint,
  count: bigint,
  ...entries: readonly (readonly [bigint, bigint, bigint])[]
): bigint[] {
  return [0n, next, count, ...entries.flat()];
}

/** Has a function of a module, whose text is given, write to credentials. */
function writeThrough({ cpu, places }: Lab, text: VirtualAddress): void {
  cpu.run(offset(text, MODULE_FUNCTIONS.check));
  cpu.store(places.credentials, 8, 0n);
}

/** What whoever runs in the kernel can ask for, because the kernel itself may. */
export const REQUESTS: readonly LabAttack[] = [
  {
    name: 'ask-for-execution',
    title: 'store code to a page of data, ask the hypervisor for r-x, call it',
    gains: RUNS_CODE,
    source: 'P. Zijlstra on Heki v2, 27 November 2023: "to what end?"',
    means: ['hypercalls'],
    stoppedBy: ['end-of-boot', 'sealed-code'],
    run(lab) {
      const page = lab.page();
      lab.aims.code();
      lab.plant(page);
      // Before and after: a hypervisor that lists addresses takes them as they are mapped when it is asked.
      lab.edit(page, executable);
      lab.cpu.ask(lab.frameOf(page), 1, 'r-x');
      lab.edit(page, executable);
      lab.cpu.run(page);
    },
  },
  {
    name: 'ask-for-write-to-text',
    title: 'ask the hypervisor for rw- of kernel text, store there',
    gains: 'a function of the kernel is replaced',
    source: 'Heki v2 8/19: what immutability is for',
    means: ['hypercalls'],
    stoppedBy: ['immutable', 'end-of-boot'],
    run(lab) {
      const { check } = lab.places;
      lab.aims.bytes('kernel text', check, PAYLOAD.length);
      lab.cpu.ask(lab.frameOf(check), 1, 'rw-');
      lab.edit(check, writable);
      lab.plant(check);
    },
  },
  {
    name: 'ask-for-write-to-rodata',
    title: 'ask the hypervisor for rw- of rodata, store there',
    gains: 'the kernel calls what the attacker names',
    source: 'Heki v2 8/19: what immutability is for',
    means: ['hypercalls'],
    stoppedBy: ['immutable', 'end-of-boot'],
    run(lab) {
      const { rodata } = lab.places;
      lab.aims.bytes('rodata', rodata);
      lab.cpu.ask(lab.frameOf(rodata), 1, 'rw-');
      lab.edit(rodata, writable);
      lab.plant(rodata);
    },
  },
  {
    name: 'ask-for-write-to-module',
    title: "ask the hypervisor for rw- of a module's text, store there",
    gains: 'a function of a module is replaced',
    source: 'Heki v2 13/19: what comes after boot is never immutable',
    means: ['hypercalls'],
    stoppedBy: ['end-of-boot', 'sealed-code'],
    run(lab) {
      const check = offset(loadedModule(lab), MODULE_FUNCTIONS.check);
      lab.aims.bytes("the module's text", check, PAYLOAD.length);
      lab.cpu.ask(lab.frameOf(check), 1, 'rw-');
      lab.edit(check, writable);
      lab.plant(check);
    },
  },
  {
    name: 'call-set-memory-x',
    title: 'store code to a page of data, call set_memory_rox, call it',
    gains: RUNS_CODE,
    source: 'return into set_memory_x, as exploits do; Heki v2 16/19 asks for the attacker',
    means: ['kernel functions'],
    stoppedBy: ['end-of-boot', 'sealed-code'],
    run(lab) {
      const page = lab.page();
      lab.aims.code();
      lab.plant(page);
      lab.call('set_memory_rox', (kernel) => kernel.setMemory('rox', page, 1));
      lab.cpu.run(page);
    },
  },
  {
    name: 'call-set-memory-rw',
    title: 'clear kernel_set_to_readonly, call set_memory_rw for rodata, store there',
    gains: 'the kernel calls what the attacker names',
    source: 'Linux, static_protections: a flag that data decides',
    means: ['kernel functions'],
    stoppedBy: ['immutable', 'end-of-boot'],
    run(lab) {
      const { rodata } = lab.places;
      lab.aims.bytes('rodata', rodata);
      lab.machine.kernel.setToReadonly = false;
      lab.call('set_memory_rw', (kernel) =>
        kernel.setMemory('rw', offset(rodata, -Number(rodata % 4096n)), 1),
      );
      lab.plant(rodata);
    },
  },
  {
    name: 'call-vmap-module',
    title: "have the kernel map the frame of a module's text a second time (vmap), store there",
    gains: 'a function of a module is replaced, by a mapping that the kernel has made and asked for',
    source: 'Heki v2 16/19: rights are the union of what the mappings of a frame allow',
    means: ['kernel functions'],
    stoppedBy: ['end-of-boot', 'sealed-code'],
    run(lab) {
      const check = offset(loadedModule(lab), MODULE_FUNCTIONS.check);
      lab.aims.bytes("the module's text", check, PAYLOAD.length);
      const area = lab.call('vmap', (kernel) => kernel.vmap([lab.frameOf(check)]));
      if (area !== undefined) lab.plant(offset(area.address, MODULE_FUNCTIONS.check));
    },
  },
  {
    name: 'call-text-poke-kernel',
    title: 'call text_poke for kernel text',
    gains: 'a function of the kernel is replaced',
    source: 'return into text_poke',
    means: ['kernel functions'],
    stoppedBy: ['immutable', 'end-of-boot'],
    run(lab) {
      const { check } = lab.places;
      lab.aims.bytes('kernel text', check, PAYLOAD.length);
      lab.call('text_poke', (kernel) => kernel.textPoke(check, PAYLOAD));
    },
  },
  {
    name: 'call-text-poke-module',
    title: "call text_poke for a module's text",
    gains: 'a function of a module is replaced',
    source: 'return into text_poke; Heki v2 17/19 opens what is poked',
    means: ['kernel functions'],
    stoppedBy: ['signed-code', 'sealed-code'],
    run(lab) {
      const check = offset(loadedModule(lab), MODULE_FUNCTIONS.check);
      lab.aims.bytes("the module's text", check, PAYLOAD.length);
      lab.call('text_poke', (kernel) => kernel.textPoke(check, PAYLOAD));
    },
  },
  {
    name: 'kexec-unsigned',
    title: 'put code of the attacker into the page that hands over, and kexec',
    gains: RUNS_CODE,
    source: 'Linux, kexec_load without lockdown',
    means: ['kernel functions'],
    stoppedBy: ['signed-code', 'end-of-boot', 'sealed-code'],
    run(lab) {
      const frame = lab.prepare('allocate a page', (kernel) => kernel.allocatePages());
      const page = lab.direct(frame);
      lab.aims.code();
      for (let at = 0; at < KEXEC_CONTROL_PAGE.length; at += 8)
        lab.cpu.store(offset(page, at), 8, 0x9090_9090_9090_9090n);
      lab.plant(page);
      const { secureKernel } = lab.machine.heki;
      if (secureKernel !== undefined) {
        const start = addressOf(frame);
        const section = { start, end: (start + PAGE_SIZE) as Gpa, kind: 'text' } as const;
        lab.request('KEXEC_VALIDATE', () => secureKernel.validateKexec([section]));
      }
      lab.call('set_memory_rox', (kernel) => kernel.setMemory('rox', page, 1));
      lab.cpu.run(page);
    },
  },
  {
    name: 'unsigned-module',
    title: 'load an unsigned module',
    gains: RUNS_CODE,
    source: 'every rootkit in a module; Linux, module.sig_enforce is data',
    means: ['module'],
    stoppedBy: ['signed-code', 'sealed-code'],
    run(lab) {
      const image = moduleImage('rootkit', { signed: false });
      image.memory.text?.set(PAYLOAD, MODULE_FUNCTIONS.check);
      lab.aims.code();
      const module = lab.call('load a module', (kernel) => kernel.loadModule(image));
      const text = module?.memory.get('text')?.address;
      if (text !== undefined) lab.cpu.run(offset(text, MODULE_FUNCTIONS.check));
    },
  },
  {
    name: 'vulnerable-module',
    title: 'load a signed module that writes where it is told, have it write to credentials',
    gains: 'the attacker is root, by code that somebody signed',
    source:
      'bring your own vulnerable driver: RTCore64.sys, Capcom.sys; its hole is known to no blocklist yet',
    means: ['module'],
    stoppedBy: [],
    run(lab) {
      const text = loadedModule(lab, 'text', 'vulnerable');
      lab.aims.bytes('credentials', lab.places.credentials);
      writeThrough(lab, text);
    },
  },
  {
    name: 'withdrawn-module',
    title: 'load a signed module that its signer has withdrawn for its hole, have it write to credentials',
    gains: 'the attacker is root, by code that somebody signed once',
    source:
      'Linux, the .blacklist keyring and UEFI’s dbx; LVBS hands revocation certificates and blocked hashes over, and litebox loads neither',
    means: ['module'],
    stoppedBy: ['module-blocklist'],
    run(lab) {
      lab.aims.bytes('credentials', lab.places.credentials);
      const module = lab.call('load a module', (kernel) => kernel.loadModule(withdrawnModule()));
      const text = module?.memory.get('text')?.address;
      if (text !== undefined) writeThrough(lab, text);
    },
  },
  {
    name: 'trace-kernel',
    title: 'have a function of the kernel traced, as a rootkit does',
    gains: 'a function of the kernel calls a trampoline first',
    source: 'A. Case and G. Richard, Black Hat USA 2021',
    means: ['kernel functions'],
    stoppedBy: ['unpatched', 'signed-code'],
    run(lab) {
      const { tracedSite } = lab.places;
      lab.aims.bytes('the first instruction of the function', tracedSite, 5);
      lab.call('register_ftrace_function', (kernel) => kernel.ftraceEnable([tracedSite]));
    },
  },
  {
    name: 'trace-module',
    title: 'have a function of a module traced, as a rootkit does',
    gains: 'a function of a module calls a trampoline first',
    source: 'A. Case and G. Richard, Black Hat USA 2021',
    means: ['kernel functions'],
    stoppedBy: ['signed-code'],
    run(lab) {
      const site = offset(loadedModule(lab), MODULE_FUNCTIONS.traced);
      lab.aims.bytes('the first instruction of the function', site, 5);
      lab.call('register_ftrace_function', (kernel) => kernel.ftraceEnable([site]));
    },
  },
  {
    name: 'probe-kernel',
    title: 'set a kprobe on a function of the kernel, with a handler that data names',
    gains: 'a function of the kernel is left at its first instruction',
    source: 'A. Case and G. Richard, Black Hat USA 2021',
    means: ['kernel functions'],
    stoppedBy: ['immutable', 'signed-code'],
    run(lab) {
      const { check } = lab.places;
      lab.aims.bytes('kernel text', check, 1);
      lab.call('register_kprobe', (kernel) => kernel.registerKprobe(check));
    },
  },
  {
    name: 'switch-static-key',
    title: 'switch the static key of a security check, by the function that the kernel has for it',
    gains: 'a check is patched away, as it is meant to be patched',
    source: 'Linux, jump labels: which state is right is data; LVBS takes every state that it was told of',
    means: ['kernel functions'],
    stoppedBy: ['immutable'],
    run(lab) {
      const { keySite } = lab.places;
      lab.aims.bytes('the site of the key', keySite, 5);
      lab.call('static_key_enable', (kernel) => kernel.setStaticKey([keySite], true));
    },
  },
  {
    name: 'retarget-static-call',
    title: 'point a static call of a module at commit_creds',
    gains: 'a module calls what the attacker names',
    source: 'Linux, static_call_update: its target is data',
    means: ['kernel functions'],
    stoppedBy: ['signed-code', 'sealed-code'],
    run(lab) {
      const site = offset(loadedModule(lab), MODULE_FUNCTIONS.staticCall);
      lab.aims.bytes('the call', site, 5);
      lab.call('static_call_update', (kernel) => kernel.updateStaticCall([site], lab.places.grant));
    },
  },
  {
    name: 'list-too-many-entries',
    title: 'send a list page that says it has 4,096 entries',
    gains: 'the host writes beyond a buffer of its own',
    source: 'Heki v2 11/19 (B-H2)',
    means: ['hypercalls'],
    stoppedBy: ['request-checks'],
    run(lab) {
      const [start, end] = pages(lab.frameOf(lab.page()));
      lab.aims.host();
      lab.sendList(listPage(0n, 4096n, [start, end, READ | WRITE]));
    },
  },
  {
    name: 'list-cycle',
    title: 'send a list page that is its own successor',
    gains: 'the host allocates until it has no memory left',
    source: 'Heki v2 11/19 (B-H3)',
    means: ['hypercalls'],
    stoppedBy: ['request-checks'],
    run(lab) {
      const frame = lab.frameOf(lab.page());
      const own = BigInt(addressOf(frame));
      lab.aims.host();
      const [start, end] = pages(frame);
      for (const [index, word] of listPage(own, 1n, [start, end, READ | WRITE]).entries()) {
        lab.cpu.store(lab.direct(frame, 8 * index), 8, word);
      }
      lab.sendList([], () => addressOf(frame));
    },
  },
  {
    name: 'list-unreadable',
    title: 'send a list page outside memory',
    gains: 'each call loses the host a page',
    source: 'Heki v2 11/19 (B-H4)',
    means: ['hypercalls'],
    stoppedBy: ['request-checks'],
    run(lab) {
      lab.aims.host();
      lab.sendList([], () => 0x3_0000_0000 as Gpa);
    },
  },
  {
    name: 'list-unbounded-range',
    title: 'send a range of 2^52 bytes',
    gains: 'the host works without bound, with a lock held',
    source: 'Heki v2 11/19 (B-H5)',
    means: ['hypercalls'],
    stoppedBy: ['request-checks'],
    run(lab) {
      lab.aims.host();
      lab.sendList(listPage(0n, 1n, [0n, 1n << 52n, READ | WRITE]));
    },
  },
  {
    name: 'list-half-applied',
    title: 'send a list whose second range is wrong, and use what the first asked for',
    gains: 'a request that was refused is in force by half',
    source: 'Heki v2 11/19 (B-H6)',
    means: ['hypercalls'],
    stoppedBy: ['request-checks'],
    run(lab) {
      const page = lab.page();
      const [start, end] = pages(lab.frameOf(page));
      const before = lab.machine.virtualMachine.effectiveRights(lab.frameOf(page))?.supervisorExecute;
      if (before !== false) lab.notExpressible('execution cannot be denied here');
      let answer = 0;
      lab.aims.register('the right to execute after a refusal', () => {
        const now = lab.machine.virtualMachine.effectiveRights(lab.frameOf(page))?.supervisorExecute;
        return answer < 0 && now !== before ? 1n : 0n;
      });
      answer = lab.sendList(listPage(0n, 2n, [start, end, READ | EXECUTE], [0x1001n, 0x2001n, READ | WRITE]));
    },
  },
  {
    name: 'list-immutable-everything',
    title: 'ask for all memory to be rw- for ever',
    gains: 'the kernel loads no module any more',
    source: 'Heki v2 8/19: any request may set the bit (B-G16, B-H18)',
    means: ['hypercalls'],
    stoppedBy: ['end-of-boot'],
    run(lab) {
      const { kernel } = lab.machine;
      let loaded = 0;
      lab.aims.work('loading a module', () => {
        loaded++;
        const module = kernel.loadModule(moduleImage(`late-${loaded}`, { init: false }));
        const text = module.kind === 'done' ? module.value.memory.get('text')?.address : undefined;
        return (
          text !== undefined && lab.cpu.run(offset(text, MODULE_FUNCTIONS.check)).value?.end === 'returned'
        );
      });
      const frames = Array.from({ length: Number(MOST_ENTRIES) }, () => kernel.allocatePages());
      const ranges = frames.flatMap((frame) => {
        if (frame.kind !== 'done') return [];
        const [start, end] = pages(frame.value);
        return [[start, end, READ | WRITE | IMMUTABLE] as const];
      });
      lab.sendList(listPage(0n, BigInt(ranges.length), ...ranges));
      for (const frame of frames) if (frame.kind === 'done') kernel.freePages(frame.value);
    },
  },
];
