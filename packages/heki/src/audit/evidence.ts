import type { ListedCode } from '@heki/audit';
import type { ImageComparison } from '@heki/patch-sites';
import type { VirtualAddress } from '@heki/physical-memory';
import { createKernelNames, type KernelNames, readImageSymbols } from '@heki/symbols';
import { BUILT_IN_SNAPSHOT } from '../built-in-snapshot.ts';
import type { NamesOptions } from '../names/open-names.ts';
import { symbolText } from '../names/place-text.ts';
import type { Subject } from '../protect/subject.ts';
import { readSidecar } from '../read-sidecar.ts';
import type { Warning } from '../warning.ts';
import { listedCode } from './listed-code.ts';

/** What an audit knows beside page tables and registers. */
export interface AuditEvidence {
  /** How the kernel differs from the image that `--vmlinux` names. */
  readonly contents?: ImageComparison | undefined;
  readonly listedCode?: ListedCode | undefined;
  readonly symbolAt?: (address: VirtualAddress) => string | undefined;
}

/** Evidence, and what a reader of the names in it must know. */
export interface WarnedEvidence {
  readonly evidence: AuditEvidence;
  readonly warnings: readonly Warning[];
}

/**
 * Names of what is in the kernel, by the files that are named or by its own kallsyms; and what its image tells.
 *
 * @throws {InputError} when a file cannot be read as what it was taken for, or is another kernel's
 */
export async function auditEvidence(
  path: string | undefined,
  subject: Subject,
  options: NamesOptions,
): Promise<WarnedEvidence> {
  const { core, tables } = subject;
  if (options.symbols === undefined && options.vmlinux === undefined) {
    let names: KernelNames | undefined;
    const own = (): KernelNames => {
      const { vmcoreinfo } = core;
      const found = readImageSymbols(tables, vmcoreinfo);
      return createKernelNames(tables, {
        vmcoreinfo,
        symbols: typeof found === 'string' ? undefined : found.table,
      });
    };
    // An extract of page tables has no lists and names nothing mostly: kallsyms is looked for when the first name is asked for.
    if (hasContents(subject)) names = own();
    const lists = names === undefined ? undefined : listedCode(names, tables);
    const evidence: AuditEvidence = {
      listedCode: typeof lists === 'string' ? undefined : lists,
      symbolAt(address) {
        names ??= own();
        return symbolText(names.at(address));
      },
    };
    return { evidence, warnings: listsWarning(lists) };
  }
  // What reads files of symbols and images is a third of an audit's code.
  const { openNames } = await import('../names/open-names.ts');
  const { compareContents } = await import('./contents.ts');
  const names = await openNames(core, tables, await readSidecar(path ?? BUILT_IN_SNAPSHOT), options);
  const lists = listedCode(names.kernel, tables);
  const evidence: AuditEvidence = {
    contents:
      options.vmlinux === undefined ? undefined : await compareContents(options.vmlinux, subject, names),
    listedCode: typeof lists === 'string' ? undefined : lists,
    symbolAt: (address) => symbolText(names.kernel.at(address)),
  };
  return { evidence, warnings: [...names.warnings, ...(hasContents(subject) ? listsWarning(lists) : [])] };
}

/** Whether the dump has the kernel's text, and not only page tables. */
function hasContents({ core, tables }: Subject): boolean {
  return core.memory.page(tables.text.frame) !== undefined;
}

/** A kernel that hides something may have seen to it that its lists cannot be read. */
function listsWarning(lists: ListedCode | string | undefined): Warning[] {
  if (typeof lists !== 'string') return [];
  const message = `the dump has the kernel's text, but the lists ${lists}: code that hides, and pages of modules that were exchanged, were not looked for`;
  return [{ id: 'lists-not-read', message }];
}
