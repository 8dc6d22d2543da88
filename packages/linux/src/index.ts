export { Errno } from '@heki/hypercall/errno';
export { BOOT_STEPS, type BootStep } from './boot/boot-steps.ts';
export { compiledProgram } from './bpf/compiled-program.ts';
export {
  FTRACE_CALLER,
  KERNEL_SITES,
  LSM_KEY,
  moduleSites,
  type SignedSite,
} from './code/signed-sites.ts';
export { createLinuxKernel } from './create-kernel.ts';
export { type LinuxDefectId, linuxDefects } from './defects/linux-defects.ts';
export { LinuxError } from './error.ts';
export type { HekiHook, LinuxEvent } from './event.ts';
export {
  createExceptionHandler,
  type ExceptionHandler,
  type SpuriousFaultRetry,
} from './faults/page-fault.ts';
export type { HekiSymbol } from './heki/heki-symbols.ts';
export { KEXEC_CONTROL_PAGE } from './kexec/kexec.ts';
export {
  buildFromSymbols,
  DEBIAN_6_1,
  IMAGE_SYMBOLS,
  type ImageSection,
  type ImageSymbol,
  imageSections,
  type KernelBuild,
} from './layout/kernel-build.ts';
export { type AddressLayout, createLayout, type LayoutOptions } from './layout/layout.ts';
export { SMALL_KERNEL } from './layout/small-kernel.ts';
export type { KernelArea, LinuxKernel, LinuxKernelOptions, SetMemory } from './linux-kernel.ts';
export { SECTION_FRAMES } from './memory-hotplug/memory-hotplug.ts';
export {
  MODULE_MEMORY,
  type ModuleImage,
  type ModuleMemory,
  type ModuleSites,
  type ModuleTextChanges,
} from './modules/module-image.ts';
export type { LoadedModule } from './modules/modules.ts';
export type { KernelOutcome } from './outcome.ts';
export type { UserArea, UserProcess, UserProgram } from './process/user-process.ts';
export type { StartFailure, StartPhase } from './smp/start-failure.ts';
export { JUMP_LENGTH } from './text/instructions.ts';
export type { BreakpointEffect } from './text/poke-int3-handler.ts';
export type { PokeSymbol } from './text/poke-symbols.ts';
export type { TextPatch } from './text/text-patch.ts';
