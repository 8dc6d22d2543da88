import { createEpt, createEptEditor, EPT_RIGHTS, EptHigh, EptLow, encodeEptp, eptLeaf } from '@heki/ept';
import { type Host, HypervisorError } from '@heki/hypervisor';
import { createNpt, createNptEditor } from '@heki/npt';
import type { Gfn, Pfn } from '@heki/physical-memory';
import type { SecondLevel, SecondLevelEditor } from '@heki/second-level';
import type { SecondLevelFault } from '@heki/vcpu';
import { EntryLow } from '@heki/x86';
import type { ResolvedOptions } from '../options.ts';
import { nptSpteFormat } from './npt-spte.ts';
import { eptSpteFormat, SPTE_MMU_PRESENT, type SpteFormat } from './spte.ts';

/** The second-level tables of one VM, whichever kind they are. */
export interface SecondLevelTables {
  readonly editor: SecondLevelEditor;
  readonly format: SpteFormat;
  /** The largest leaf that the processor takes: 1 (4 KiB), 2 (2 MiB) or 3 (1 GiB); max_huge_page_level. */
  readonly largestLeaf: number;
  /** What cached translations are tagged with. */
  readonly root: number;
  /** The kernel's execution can be denied without that of user code. */
  readonly deniesExecution: boolean;
  /** Maps a page of the owner's guest page tables, read-only, with paging-write access if that is wanted. `false` without a frame for a table. */
  installOwnTable(gfn: Gfn, pfn: Pfn): boolean;
  /** The tables as one virtual CPU uses them. */
  view(): SecondLevel<SecondLevelFault>;
  /** The same for an L2: without mode-based execute control on Intel. */
  nestedView(): SecondLevel<SecondLevelFault>;
}

/** Empty tables for a VM on `options.processor`. */
export function createSecondLevelTables(host: Host, options: ResolvedOptions): SecondLevelTables {
  if (options.processor.ept !== undefined) return eptTables(host, options);
  if (options.processor.npt !== undefined) return nptTables(host, options);
  throw new HypervisorError(`processor ${options.processor.name} has no second level`);
}

function eptTables(host: Host, { processor, mbec, hlat }: ResolvedOptions): SecondLevelTables {
  const { memory, frames } = host;
  const accessedDirty = processor.ept?.accessedDirty === true;
  const editor = createEptEditor({
    memory,
    frames,
    processor,
    modeBasedExecute: mbec,
    // shadow_nonpresent_value keeps suppress-#VE, and so do the entries above the leaves.
    table: { low: EPT_RIGHTS | SPTE_MMU_PRESENT, high: 0 },
    absent: { low: 0, high: EptHigh.SVE },
  });
  const eptp = encodeEptp({
    accessedDirty,
    root: editor.root,
  });
  const format = eptSpteFormat(mbec, accessedDirty, hlat === undefined ? 'linux-6.6' : 'linux-7.0');
  const virtualization =
    hlat === undefined
      ? { modeBasedExecute: mbec }
      : {
          modeBasedExecute: mbec,
          pagingWrite: hlat.pagingWrite !== 'none',
          guestPagingVerification: hlat.verification,
        };
  return {
    editor,
    format,
    largestLeaf: processor.ept?.twoMegabytePages !== true ? 1 : processor.ept.gigabytePages ? 3 : 2,
    root: editor.root,
    deniesExecution: mbec,
    installOwnTable(gfn, pfn) {
      const { low, high } = eptLeaf({
        rights: EptLow.R,
        accessed: true,
        dirty: true,
        ignorePat: true,
        suppressVe: true,
        pagingWrite: hlat !== undefined && hlat.pagingWrite !== 'none',
      });
      return editor.installLeaf(gfn, 1, pfn, { low: low | SPTE_MMU_PRESENT, high }).stoppedAt === undefined;
    },
    view: () => createEpt({ memory, eptp, processor, controls: virtualization }),
    nestedView: () => createEpt({ memory, eptp, processor }),
  };
}

function nptTables(host: Host, options: ResolvedOptions): SecondLevelTables {
  const { memory, frames } = host;
  const { processor, defects } = options;
  const gmet = options.gmet && !defects['B-H17'];
  const mbecParameter = options.mbecParameter && defects['B-H17'];
  const editor = createNptEditor({
    memory,
    frames,
    processor,
    table: { low: SPTE_MMU_PRESENT | EntryLow.A, high: 0 },
  });
  return {
    editor,
    format: nptSpteFormat({ gmet, mbecParameter }),
    largestLeaf: processor.gigabytePages ? 3 : 2,
    root: editor.root,
    // Under B-H17 KVM believes that it can.
    deniesExecution: gmet || mbecParameter,
    installOwnTable: () => false,
    view: () => createNpt({ memory, root: editor.root, processor, controls: { gmet } }),
    nestedView: () => createNpt({ memory, root: editor.root, processor, controls: { gmet } }),
  };
}
