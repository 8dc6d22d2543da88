import { CPU_PROFILES } from '@heki/x86/cpu-profiles';

/** Names that `--cpu` takes, the default first. The profiles have an entry point of their own, so that help needs no model. */
export const CPU_NAMES: readonly string[] = CPU_PROFILES.map(({ name }) => name);
