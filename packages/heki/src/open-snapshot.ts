import { type ChosenRoot, type ProvenRoot, type Vmcore, VmcoreError } from '@heki/vmcore';
import { openVmcore } from '@heki/vmcore/node';
import { InputError } from './failure.ts';
import { fileErrorText } from './file-error.ts';
import { withCredentials } from './input/web-credentials.ts';
import { type AddressSpaceOptions, addressSpaceOf, type Snapshot, snapshotOf } from './snapshot.ts';

/**
 * Opens the dump at `path` and finds its kernel's page tables. With options, the address space that they name has to be
 * the kernel's.
 *
 * @throws {InputError} when it is not a dump, has no registers, or nothing in it proves to be a kernel's
 * @throws {UsageError} when the options name what it does not have
 */
export function openSnapshot(path: string, options: AddressSpaceOptions = {}): Snapshot {
  return withPath(path, () => snapshotOf(openCore(path, options), options));
}

/**
 * Opens the dump at `path` with the address space that the options name, exactly as it is. Without any, it is the kernel's, or,
 * for what does not belong to the kernel, the one that the first CPU stands on.
 *
 * @throws {InputError} as {@link openSnapshot}, or when the dump does not hold the root table
 * @throws {UsageError} when the options name what it does not have
 */
export function openAddressSpace(
  path: string,
  options: AddressSpaceOptions,
  what: 'kernel' | 'user',
): Snapshot<ProvenRoot | ChosenRoot> {
  return withPath(path, () => addressSpaceOf(openCore(path, options), options, what));
}

/** Opens the dump at `path`. @throws {VmcoreError} when it is not one */
export function openCore(
  path: string,
  { cBit, whileItRuns }: Pick<AddressSpaceOptions, 'cBit' | 'whileItRuns'>,
): Vmcore {
  return openVmcore(withCredentials(path), { encryptionBit: cBit, whileItRuns });
}

/** What `read` makes of the dump at `path`. @throws {InputError} with the path, when the dump is damaged */
export function withPath<Result>(path: string, read: () => Result): Result {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof VmcoreError)) throw error;
    const why = fileErrorText(error.cause) ?? error.message;
    const prefix = [`${path}: `, `${path} `].find((one) => why.startsWith(one)) ?? '';
    throw new InputError(why.slice(prefix.length), { ...error.place, file: path }, error);
  }
}
