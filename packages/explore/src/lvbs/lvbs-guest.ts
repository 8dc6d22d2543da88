import {
  encodeLvbsRanges,
  encodeLvbsTextPatch,
  HvCall,
  LvbsFunction,
  type LvbsRange,
  LvbsSection,
} from '@heki/hypercall/hyperv';
import type { BackendEvent, Hypervisor, VirtualMachine } from '@heki/hypervisor';
import type { SignedModule } from '@heki/machine';
import type { Gfn, Gpa, Pfn, VirtualAddress } from '@heki/physical-memory';
import { CR0, CR4, EFER } from '@heki/x86';
import { createHostMemory } from '../backend/host-memory.ts';
import { TableFrames } from '../backend/table-frames.ts';

/** A hypervisor with a secure kernel that lets signed modules be loaded. */
export type LvbsHypervisor = Hypervisor<
  VirtualMachine &
    Required<Pick<VirtualMachine, 'checkpoint' | 'digest'>> & {
      readonly secureKernel: { trustModule(module: SignedModule): void };
    },
  BackendEvent
>;

/** Frames of the module: a page of text, of rodata and of init text. */
export const Page = { TEXT: 0x500, RODATA: 0x502, INIT: 0x505 } as const;
/** In the text: a relocation, a tracing site, and a place that is neither. */
export const Offset = { RELOCATION: 0x10, SITE: 0x20, ELSEWHERE: 0x100, KERNEL_SITE: 0x10 } as const;
export const JUMP = Uint8Array.of(0xe9, 1, 2, 3, 4);
export const NOP = Uint8Array.of(0x0f, 0x1f, 0x44, 0x00, 0x00);
const RELOCATED = Uint8Array.of(9, 9, 9, 9);

/** What stands in each page when the loader has done its work. */
export const SIGNED: Readonly<Record<number, Uint8Array>> = {
  [Page.TEXT]: filled(0xcc, [Offset.RELOCATION, RELOCATED], [Offset.SITE, NOP]),
  [Page.RODATA]: filled(0x52),
  [Page.INIT]: filled(0xc3),
};

function filled(
  value: number,
  ...parts: readonly (readonly [offset: number, bytes: Uint8Array])[]
): Uint8Array {
  const page = new Uint8Array(4096).fill(value);
  for (const [offset, bytes] of parts) page.set(bytes, offset);
  return page;
}

const BACKING = 0x1000;
const DIRECT_MAP = 0xffff_8880_0000_0000n;
const REQUEST = 0x7_0000;
const TABLE = 0x7_2000;
const { SIGNAL_END_OF_BOOT, LOAD_KDATA, PATCH_TEXT, PROTECT_MEMORY, VALIDATE_MODULE } = LvbsFunction;
const { TEXT, RODATA, INIT_TEXT, PATCHES } = LvbsSection;
const PARTS: readonly (readonly [frame: number, kind: number])[] = [
  [Page.TEXT, TEXT],
  [Page.RODATA, RODATA],
  [Page.INIT, INIT_TEXT],
];

/** A guest whose boot is over, with the bytes of a signed module in its memory and two processors. */
export type LvbsGuest = Pick<BootedGuest, keyof BootedGuest>;

/** A guest of `hypervisor` that has booted. */
export function createLvbsGuest(hypervisor: LvbsHypervisor): LvbsGuest {
  return new BootedGuest(hypervisor);
}

class BootedGuest {
  readonly vm: ReturnType<LvbsHypervisor['createVirtualMachine']>;
  /** VTL1 has let the module be loaded. */
  loaded = false;
  /** What processor 1 does at the points of a call. */
  onPoint: (() => void) | undefined;
  readonly #ram = createHostMemory([{ start: 0 as Pfn, end: 0x2000 as Pfn }]);
  readonly #frames = new TableFrames({ start: 0 as Pfn, end: 0x400 as Pfn });

  constructor(hypervisor: LvbsHypervisor) {
    this.vm = hypervisor.createVirtualMachine({
      host: { memory: this.#ram, frames: this.#frames.port },
      onYield: () => this.onPoint?.(),
    });
    this.vm.addMemory({ start: 0 as Gfn, frames: 0x1000, backing: BACKING as Pfn });
    const entry = (gpa: number, value: number): void =>
      this.put(gpa, Uint8Array.of(value, value >> 8, value >> 16));
    entry(0x1000 + 273 * 8, 0x2063);
    entry(0x2000, 0x3063);
    for (let index = 0; index < 8; index++) entry(0x3000 + 8 * index, index * 0x20_0000 + 0xe3);
    const registers = {
      cr0: CR0.PG | CR0.WP | CR0.PE | CR0.ET,
      cr3: 0x1000n,
      cr4: CR4.PAE | CR4.PGE,
      efer: EFER.LMA | EFER.LME | EFER.NXE | EFER.SCE,
      codeSegment64: true,
      rip: DIRECT_MAP as VirtualAddress,
    };
    for (let cpu = 0; cpu < 2; cpu++) this.vm.createVcpu({ registers, onException: () => 'fatal' });
    this.#boot();
  }

  /** The kernel's own text and a site in a page that it gives up; then its boot is over. */
  #boot(): void {
    const built = (frame: number): Uint8Array => SIGNED[frame] ?? new Uint8Array();
    const unrelocated = built(Page.TEXT).slice();
    unrelocated.fill(0, Offset.RELOCATION, Offset.RELOCATION + 4);
    this.vm.secureKernel.trustModule({
      name: 'good',
      sections: [
        {
          kind: TEXT,
          bytes: unrelocated,
          sites: [{ offset: Offset.RELOCATION, length: 4, values: [RELOCATED] }],
          patches: [{ offset: Offset.SITE, bytes: JUMP }],
        },
        { kind: RODATA, bytes: built(Page.RODATA), sites: [], patches: [] },
        { kind: INIT_TEXT, bytes: built(Page.INIT), sites: [], patches: [] },
      ],
    });
    for (const [frame] of PARTS) this.put(frame * 4096, built(frame));
    this.#callWith(PROTECT_MEMORY, [0, 0x100_0000, 3], [0x20_0000, 0x21_0000, 5]);
    this.#putTable(Page.RODATA * 4096 + Offset.KERNEL_SITE, 0);
    this.#callWith(LOAD_KDATA, [TABLE, TABLE + 4096, PATCHES]);
    this.call(SIGNAL_END_OF_BOOT);
  }

  /** A number that tells the contents of a frame from others. */
  contents(frame: number): number {
    return this.#ram.contents((BACKING + frame) as Pfn);
  }

  /** What brings the guest back to where it is now, between two calls; `undefined` when its backend cannot. */
  checkpoint(): (() => void) | undefined {
    const { loaded } = this;
    const back = this.vm.checkpoint();
    if (back === undefined) return undefined;
    const pages = this.#ram.point();
    const framesBack = this.#frames.checkpoint();
    return () => {
      this.loaded = loaded;
      this.#ram.restore(pages);
      framesBack();
      back();
    };
  }

  /** Stores past every right, as a loader did. */
  put(gpa: number, bytes: Uint8Array): void {
    this.bytes(Math.floor(gpa / 4096)).set(bytes, gpa % 4096);
  }

  bytes(frame: number): Uint8Array {
    const page = this.#ram.writablePage((BACKING + frame) as Pfn);
    if (page === undefined) throw new RangeError(`frame ${frame}`);
    return new Uint8Array(page.buffer, page.byteOffset, 4096);
  }

  /** Stores a byte as the kernel, on a processor. Whether it was done. */
  store(cpu: number, gpa: number, value: number): boolean {
    const va = (DIRECT_MAP + BigInt(gpa)) as VirtualAddress;
    return this.vm.vcpus[cpu]?.store(va, 1, BigInt(value)).kind === 'done';
  }

  /** A VTL call of processor 0; the answer as a signed number. */
  call(fn: number, first = 0n, second = 0n): number {
    const [vcpu] = this.vm.vcpus;
    if (vcpu === undefined) return 0;
    Object.assign(vcpu.registers, {
      rcx: BigInt(HvCall.VTL_CALL),
      rdi: BigInt(fn),
      rsi: first,
      rdx: second,
      r8: 0n,
    });
    vcpu.vmcall();
    return Number(BigInt.asIntN(64, vcpu.registers.r8));
  }

  /** Asks for the module, perhaps with a table of one patch, a jump. */
  load(patch?: { readonly pa: number; readonly secondPa: number }): number {
    const ranges: [number, number, number][] = PARTS.map(([frame, kind]) => [
      frame * 4096,
      (frame + 1) * 4096,
      kind,
    ]);
    if (patch !== undefined) {
      this.#putTable(patch.pa, patch.secondPa);
      ranges.push([TABLE, TABLE + 4096, PATCHES]);
    }
    const answer = this.#callWith(VALIDATE_MODULE, ...ranges);
    this.loaded ||= answer > 0;
    return answer;
  }

  /** Asks for a step of a patch. */
  patch(pa: number, bytes: Uint8Array, secondPa = 0): number {
    this.put(REQUEST, encodeLvbsTextPatch({ pa: pa as Gpa, secondPa: secondPa as Gpa, bytes }));
    return this.call(PATCH_TEXT, BigInt(REQUEST));
  }

  #putTable(pa: number, secondPa: number): void {
    this.bytes(TABLE / 4096).fill(0);
    this.put(TABLE, encodeLvbsTextPatch({ pa: pa as Gpa, secondPa: secondPa as Gpa, bytes: JUMP }));
  }

  #callWith(fn: number, ...values: (readonly [number, number, number])[]): number {
    const ranges = values.map(
      ([pa, epa, attributes]): LvbsRange => ({ va: 0n, pa: pa as Gpa, epa: epa as Gpa, attributes }),
    );
    const memory = {
      page: (gfn: Gfn) => this.#ram.page((BACKING + gfn) as Pfn),
      writablePage: (gfn: Gfn) => this.#ram.writablePage((BACKING + gfn) as Pfn),
    };
    const first = encodeLvbsRanges({ memory, frames: [0x80 as Gfn, 0x81 as Gfn], ranges });
    return this.call(fn, BigInt(first ?? 0), BigInt(ranges.length));
  }
}
