import type { EarlyInitResult, HekiGuest, HekiKernel, LateInitResult, VirtualRange } from '@heki/guest';
import type { FrameRange, Gfn, MemoryMap, PhysicalMemory, VirtualAddress } from '@heki/physical-memory';
import type { DefectChoices, Profile } from '@heki/series';
import type { Outcome, Vcpu } from '@heki/vcpu';
import type { PagingLevels } from '@heki/x86';
import type { BootStep } from './boot/boot-steps.ts';
import type { SignedSite } from './code/signed-sites.ts';
import type { LinuxDefectId } from './defects/linux-defects.ts';
import type { LinuxEvent } from './event.ts';
import type { HekiSymbol } from './heki/heki-symbols.ts';
import type { ImageSymbol, KernelBuild } from './layout/kernel-build.ts';
import type { AddressLayout } from './layout/layout.ts';
import type { ModuleImage, ModuleTextChanges } from './modules/module-image.ts';
import type { LoadedModule } from './modules/modules.ts';
import type { KernelOutcome } from './outcome.ts';
import type { UserProcess, UserProgram } from './process/user-process.ts';
import type { BreakpointEffect } from './text/poke-int3-handler.ts';
import type { PokeSymbol } from './text/poke-symbols.ts';
import type { TextPatch } from './text/text-patch.ts';

/** What a kernel is made of. */
export interface LinuxKernelOptions {
  /**
   * The processor that the kernel runs on. From the step `init_mem_mapping` on every load, store and fetch of the kernel goes
   * through it.
   */
  readonly vcpu: Vcpu;
  /** The other processors, in the state after INIT. Boot brings them up through the trampoline. Default none. */
  readonly secondaryVcpus?: readonly Vcpu[];
  /**
   * Lets the other processors run: called after every access of the kernel to memory, and after each processor that a flush has
   * reached, once the kernel runs on its own page tables. What they do then are single accesses (a user program's, an attacker's), not functions of
   * the kernel, whose locks are not modelled: those throw.
   */
  readonly interleave?: (() => void) | undefined;
  /** What an INIT interrupt does: a hypervisor may have a part in it. Default `vcpu.init()`. */
  readonly sendInit?: (vcpu: Vcpu) => void;
  /** Guest-physical memory: RAM that reads zero, and the first mebibyte whatever the memory map says of it. */
  readonly memory: PhysicalMemory<Gfn>;
  readonly memoryMap: MemoryMap<Gfn>;
  /** Default {@link DEBIAN_6_1}. */
  readonly build?: KernelBuild | undefined;
  /** `nokaslr`, `rodata=off`, `pti=on`; what is for Heki is for whoever makes its core. Default empty. */
  readonly commandLine?: string;
  /** Default 4. */
  readonly levels?: PagingLevels | undefined;
  /** Seed of KASLR; without it, and with `nokaslr`, nothing is randomized. */
  readonly kaslrSeed?: number | undefined;
  /** The layout of a real kernel, instead of one that is made from `levels` and `kaslrSeed`. */
  readonly layout?: AddressLayout;
  /**
   * set_memory_* leave an entry as it is that would become writable and executable (652c5bf380ad). Default true; false is what
   * releases of Linux do, which only warn (c5129ecc1249).
   */
  readonly refuseWx?: boolean;
  /** Makes the Heki core that the kernel calls. Without it the kernel has none. */
  readonly heki?: (kernel: HekiKernel) => HekiGuest;
  /** The hooks of the published series, or with their defects mended. Default `hardened`; give the core the same. */
  readonly hooks?: Profile;
  /** Single defects of the hooks switched on or off against {@link hooks}. */
  readonly defects?: DefectChoices<LinuxDefectId>;
  /** `init_hypervisor_platform`: the driver that fills {@link HekiGuest.hypervisor}. */
  readonly initHypervisorPlatform?: (heki: HekiGuest) => void;
  /**
   * Jump labels in the kernel's own text, by their offsets from `_text`: no-ops of five bytes. Only a secure kernel wants to know of them
   * beforehand. Default none.
   */
  readonly jumpLabels?: readonly number[] | undefined;
  /**
   * Called for a module that is signed, before it is loaded: what stands for the signature in its file, where a secure kernel looks
   * for one.
   */
  readonly presentSignature?: ((image: ModuleImage, changes: ModuleTextChanges) => void) | undefined;
  /** What of its own text may change once it is sealed, as its signed image says. Default {@link KERNEL_SITES}. */
  readonly signedSites?: readonly SignedSite[] | undefined;
  /** The signed file of a module, as user space has it: for an owner of the code, which makes the module from it. */
  readonly moduleFile?: ((image: ModuleImage) => Uint8Array) | undefined;
  /** Called before each step of boot. */
  readonly onStep?: (step: BootStep) => void;
  /** Called for everything that happens, in order. */
  readonly onEvent?: ((event: LinuxEvent) => void) | undefined;
}

/** Names of the set_memory_* functions. */
export type SetMemory = 'ro' | 'rw' | 'rox' | 'x' | 'nx' | 'np' | 'np_noalias' | 'p';

/** Pages that the kernel has mapped in a row. */
export interface KernelArea {
  readonly address: VirtualAddress;
  readonly pages: number;
}

/**
 * A Linux kernel. Its functions return their outcome; they throw {@link LinuxError} for an address that is not on a page, and before
 * boot has got as far as they need.
 */
export interface LinuxKernel {
  readonly build: KernelBuild;
  readonly layout: AddressLayout;
  /** The frame of `init_mm`'s root table, `init_top_pgt`. */
  readonly pageTableRoot: Gfn;
  readonly heki: HekiGuest | undefined;
  /** The outcome of `heki_early_init` and `heki_late_init`, once they are over; without Heki neither is ever there. */
  readonly hekiInit: {
    readonly early?: EarlyInitResult;
    readonly late?: LateInitResult;
    readonly seal?: number;
  };
  /** The first frame of the real-mode trampoline; 0 before the step `reserve_real_mode`. */
  readonly trampoline: Gfn;
  /** The step of boot that comes next; `undefined` when boot is over. */
  readonly nextStep: BootStep | undefined;
  /** Frames that the page allocator has free. */
  readonly freeFrames: number;
  /** `kernel_set_to_readonly`, a variable that all code of the kernel can write: false lets set_memory_rw open rodata. */
  setToReadonly: boolean;

  /**
   * Goes on with boot, to its end or up to the step `before`, which is not taken yet. A step that fails ends it: the result then
   * is its outcome, and boot does not go on any more.
   */
  boot(options?: { readonly before?: BootStep | undefined }): KernelOutcome;
  address(symbol: ImageSymbol | HekiSymbol | PokeSymbol): VirtualAddress;

  /** `set_memory_ro` and so on, for `pages` pages from `address` on. */
  setMemory(what: SetMemory, address: VirtualAddress, pages: number): KernelOutcome;
  /** `set_direct_map_invalid_noflush` and `set_direct_map_default_noflush`. */
  setDirectMap(what: 'invalid' | 'default', frame: Gfn): KernelOutcome;

  /** `alloc_pages`: a frame, or 2^order in a row. */
  allocatePages(order?: number): KernelOutcome<Gfn>;
  /** @throws {LinuxError} when it is free already or was never the allocator's */
  freePages(frame: Gfn, order?: number): void;
  /** `vmalloc`. */
  vmalloc(pages: number): KernelOutcome<KernelArea>;
  /** `vmap` with PAGE_KERNEL: `frames` stay the caller's. */
  vmap(frames: readonly Gfn[]): KernelOutcome<KernelArea>;
  /** `ioremap`. */
  ioremap(frame: Gfn, pages: number): KernelOutcome<KernelArea>;
  /** `vfree`, `vunmap`, `iounmap`. */
  vfree(address: VirtualAddress): KernelOutcome;

  /**
   * Gives other processors a turn while the hypervisor handles an exit of the kernel's processor, as {@link LinuxKernelOptions.interleave} is given
   * between two accesses. Nothing when the exit is one of another processor.
   */
  yieldToOthers(): void;
  /** The processor that the kernel runs on just now. */
  readonly vcpu: Vcpu;
  /** Numbers of the processors that run the kernel. */
  readonly onlineCpus: readonly number[];
  /** Has the kernel functions that `body` calls execute on another processor. */
  onCpu<Value>(number: number, body: () => Value): KernelOutcome<Value>;
  /** `cpu_up`: through the trampoline, paging off at first. -EIO when the processor does not come up. */
  cpuUp(number: number): KernelOutcome;
  cpuDown(number: number): KernelOutcome;
  /** Suspend to RAM and resume, by the trampoline as well. */
  suspend(): KernelOutcome;

  /** Hands over to another kernel, as far as its first instruction: this one is over then. */
  kexec(): KernelOutcome;
  /** Takes a section of 128 MiB that was plugged in behind the memory that there is. */
  addMemory(range: FrameRange<Gfn>): KernelOutcome;
  /** Gives up the last section that it took, so that it can be unplugged. */
  removeMemory(range: FrameRange<Gfn>): KernelOutcome;

  /** The access at hand has an entry in the exception table: what its processor's exception handler asks. */
  readonly hasFixup: boolean;
  /** Runs `body`, each of whose accesses has an entry in the exception table: an exception ends the access, and not the kernel. */
  withFixups<Value>(body: () => Value): Value;
  /** `copy_from_kernel_nofault`: -EFAULT where nothing can be read, -ERANGE outside the kernel half. */
  copyFromKernelNofault(address: VirtualAddress, length: number): KernelOutcome<Uint8Array>;
  /** `copy_to_kernel_nofault`: -EFAULT where nothing can be written. */
  copyToKernelNofault(address: VirtualAddress, bytes: Uint8Array): KernelOutcome;

  /** `text_poke`: at most a page of bytes, over at most two pages. */
  textPoke(address: VirtualAddress, bytes: Uint8Array): KernelOutcome;
  /** `text_poke_early`: a plain store, which succeeds while text is writable. */
  textPokeEarly(address: VirtualAddress, bytes: Uint8Array): KernelOutcome;
  /** `text_poke_bp_batch`: instructions that other processors may be executing, in three pokes each. */
  textPokeBatch(patches: readonly TextPatch[]): KernelOutcome;
  /**
   * `poke_int3_handler`, as it runs on `processor`, which came to an int3 at `address`: how it goes on by what `bp_desc` says, `undefined` when it says
   * nothing of this place. A kernel whose code is sealed has no such handler. An access of the handler's that does not complete is its outcome.
   */
  pokeInt3Handler(processor: Vcpu, address: VirtualAddress): Outcome<BreakpointEffect | undefined>;
  /** `static_key_enable`, `static_key_disable`: no-ops of five bytes become jumps, or the reverse. */
  setStaticKey(sites: readonly VirtualAddress[], enabled: boolean): KernelOutcome;
  /** `static_call_update`: every site calls `target`. */
  updateStaticCall(sites: readonly VirtualAddress[], target: VirtualAddress): KernelOutcome;
  /** Has functions call ftrace's trampoline; `sites` are their no-ops of five bytes. */
  ftraceEnable(sites: readonly VirtualAddress[]): KernelOutcome;
  ftraceDisable(sites: readonly VirtualAddress[]): KernelOutcome;
  /** `register_kprobe`: int3, or, `optimized`, a jump. */
  registerKprobe(address: VirtualAddress, options?: { readonly optimized?: boolean }): KernelOutcome;
  unregisterKprobe(address: VirtualAddress): KernelOutcome;
  /** Puts a compiled eBPF program into a pack; where it lies. At most 2 MiB. */
  loadBpfProgram(code: Uint8Array): KernelOutcome<VirtualAddress>;
  unloadBpfProgram(address: VirtualAddress): KernelOutcome;
  /** The pages of all packs. */
  readonly bpfPages: readonly VirtualRange[];
  loadModule(image: ModuleImage): KernelOutcome<LoadedModule>;
  unloadModule(name: string): KernelOutcome;

  /** `fork` and `execve`: a process with the pages of a program. */
  startProcess(program: UserProgram): KernelOutcome<UserProcess>;
  /**
   * The process runs at CPL 3 and uses each of its pages. -EFAULT when one of its accesses does not complete, or it finds other bytes than its own:
   * the process is killed, and the kernel goes on. -ESRCH when there is no such process.
   */
  runProcess(pid: number): KernelOutcome;
  /** Its pages and its page tables go back to the page allocator. */
  endProcess(pid: number): KernelOutcome;
}
