import type { SignedCode } from '@heki/code-authority';
import { KERNEL_SITES, type KernelBuild, type SignedSite } from '@heki/linux';
import { createModuleVerifier, type SignatureArithmetic, signModule } from '@heki/module-signature';
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { type LinkedModule, moduleFile, readModuleFile } from './module-file.ts';
import { type KernelContents, signedKernel, signedModule } from './signed-images.ts';
import { modelSigningKey } from './signing-key.ts';

/** A distributor that signs a kernel and modules for whoever owns a guest's code. */
export interface CodeSigner {
  /** What the owner is given: the kernel, and a reader of files that trusts the distributor's key. */
  readonly code: SignedCode;
  /** What of the kernel's text may change, in the order of their numbers. */
  readonly sites: readonly SignedSite[];
  /** A module as a file, with a signature as Linux has them behind it unless the module says that it has none. */
  file(image: LinkedModule): Uint8Array;
}

/** What a distributor has signed beside an empty kernel, and what the owner of the code checks it with. */
export interface CodeSignerOptions {
  readonly contents?: KernelContents;
  /**
   * Modules that were signed and do not count any more: the owner of the code gets the digests of their files with his certificates, as Linux' `.blacklist`
   * keyring and UEFI's dbx hold them. Default none.
   */
  readonly withdrawn?: readonly LinkedModule[];
  /** Default JavaScript's; in Node `nodeArithmetic` of `@heki/module-signature/node` is faster. */
  readonly arithmetic?: SignatureArithmetic;
}

/** A distributor that has signed `kernel`, and signs modules. */
export function createCodeSigner(
  kernel: KernelBuild,
  { contents = {}, withdrawn = [], arithmetic }: CodeSignerOptions = {},
): CodeSigner {
  const key = modelSigningKey();
  const { verify } = createModuleVerifier({
    certificates: [key.certificate],
    blocked: new Set(withdrawn.map((image) => bytesToHex(sha256(moduleFile(image))))),
    arithmetic,
  });
  return {
    code: {
      kernel: signedKernel(kernel, contents),
      readImage(file) {
        const verified = verify(file);
        return verified.ok ? signedModule(readModuleFile(verified.content)) : undefined;
      },
    },
    sites: contents.sites ?? KERNEL_SITES,
    file(image) {
      const file = moduleFile(image);
      return image.signed === false ? file : signModule(file, key);
    },
  };
}
