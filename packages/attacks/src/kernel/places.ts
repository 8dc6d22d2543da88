import type { LinuxMachine } from '@heki/machine';
import { addressOf, type Gpa, type VirtualAddress, writeBytes } from '@heki/physical-memory';
import { KERNEL_FUNCTIONS, KEY_SITE, returning, TRACED_SITE } from './functions.ts';
import { KERNEL_TEXT } from './signed-sites.ts';

/** Where the modelled kernel has what attackers look for. */
export interface Places {
  /** `security_capable`, which says -EPERM. */
  readonly check: VirtualAddress;
  /** A function on another page, which says 0. */
  readonly allow: VirtualAddress;
  /** A function that gives away what must stay secret. */
  readonly grant: VirtualAddress;
  readonly alive: VirtualAddress;
  /** The site of a static key. */
  readonly keySite: VirtualAddress;
  readonly tracedSite: VirtualAddress;
  /** A table of constants: operations of a driver. */
  readonly rodata: VirtualAddress;
  /** The vDSO's page, which lies in rodata and is mapped into every program. */
  readonly vdso: VirtualAddress;
  /** A constant in rodata: the number 1. */
  readonly one: VirtualAddress;
  readonly idt: VirtualAddress;
  /** Credentials of a process, `modprobe_path`, `selinux_enforcing`: data that is meant to be written. */
  readonly credentials: VirtualAddress;
  /** What text_poke's breakpoint handler goes by, which is data: the vector of what is patched, and the descriptor that leads to it. */
  readonly pokeVector: VirtualAddress;
  readonly pokeDescriptor: VirtualAddress;
  /** `struct heki`, and the driver's table of operations. */
  readonly heki: VirtualAddress;
  readonly hekiOperations: VirtualAddress;
  /** `kernel_set_to_readonly` is a flag of the kernel's, {@link LinuxKernel.setToReadonly}. */
}

/** Offset in rodata. */
const ONE = 0x6100;

const after = (address: VirtualAddress, offset: number): VirtualAddress =>
  (address + BigInt(offset)) as VirtualAddress;

/** The places in the kernel of a machine, booted or not. */
export function placesIn({ kernel }: Pick<LinuxMachine, 'kernel'>): Places {
  const text = kernel.address('_text');
  const rodata = kernel.address('__start_rodata');
  const data = kernel.address('_sdata');
  return {
    check: after(text, KERNEL_FUNCTIONS.check.offset),
    allow: after(text, KERNEL_FUNCTIONS.allow.offset),
    grant: after(text, KERNEL_FUNCTIONS.grant.offset),
    alive: after(text, KERNEL_FUNCTIONS.alive.offset),
    keySite: after(text, KEY_SITE),
    tracedSite: after(text, TRACED_SITE),
    rodata: after(rodata, 0x5100),
    vdso: after(rodata, 0x6000),
    one: after(rodata, ONE),
    idt: kernel.address('idt_table'),
    credentials: after(data, 0x1800),
    pokeVector: kernel.address('tp_vec'),
    pokeDescriptor: kernel.address('bp_desc'),
    heki: kernel.address('heki'),
    hekiOperations: kernel.address('heki_hypervisor'),
  };
}

/** What the boot loader has put into memory: code in the image's text, constants in its rodata. */
export function loadImage({ kernel, memory }: Pick<LinuxMachine, 'kernel' | 'memory'>): void {
  const start = addressOf(kernel.layout.textFrame);
  const put = (offset: number, bytes: Uint8Array): void => {
    writeBytes(memory, (start + offset) as Gpa, bytes);
  };
  for (const { offset, bytes } of KERNEL_TEXT) put(offset, bytes);
  const { __start_rodata: rodata, _sdata: data } = kernel.build.offsets;
  put(rodata + 0x5100, new Uint8Array(8).fill(0x11));
  put(rodata + 0x6000, returning(0));
  put(rodata + ONE, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0));
  // uid 1000.
  put(data + 0x1800, Uint8Array.of(0xe8, 0x03, 0, 0, 0xe8, 0x03, 0, 0));
}
