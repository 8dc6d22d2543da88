import type { EarlyInitResult, HekiGuest, LateInitResult } from '@heki/guest';
import type { VirtualAddress } from '@heki/physical-memory';
import type { LinuxDefectSwitches } from '../defects/linux-defects.ts';
import type { LinuxEvent } from '../event.ts';
import type { ModuleImage, ModuleTextChanges } from '../modules/module-image.ts';
import type { HekiPlaces } from './heki-symbols.ts';

/** What the kernel knows of Heki, and how it tells of itself. */
export interface HekiState {
  readonly heki: HekiGuest | undefined;
  /** Where Heki's variables and functions are in the image. */
  readonly hekiPlaces: HekiPlaces;
  /** The outcome of Heki's two steps of boot, as far as they were taken. */
  readonly hekiInit: {
    early?: EarlyInitResult;
    late?: LateInitResult;
    /** What the owner of the code has answered to the seal: the number of the kernel's image, or a negative error number. */
    seal?: number;
  };
  /** Fills `heki.hypervisor`. */
  readonly initHypervisorPlatform: ((heki: HekiGuest) => void) | undefined;
  readonly defects: LinuxDefectSwitches;
  /** Jump labels in the kernel's own text. */
  readonly jumpLabels: readonly VirtualAddress[];
  /** Called for a module that is signed, before it is loaded. */
  readonly presentSignature: ((image: ModuleImage, changes: ModuleTextChanges) => void) | undefined;
  readonly emit: (event: LinuxEvent) => void;
}
