import type { SignedCode } from '@heki/code-authority';
import { KERNEL_SITES, type KernelBuild, type SignedSite } from '@heki/linux';
import { createModuleVerifier, signModule } from '@heki/module-signature';
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

/** A distributor that has signed `kernel`, and signs modules. */
export function createCodeSigner(kernel: KernelBuild, contents: KernelContents = {}): CodeSigner {
  const key = modelSigningKey();
  const { verify } = createModuleVerifier({ certificates: [key.certificate] });
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
