import type { UserConfig } from 'vitest/config';

export declare function packageConfig(url: string, options?: { readonly isolate?: boolean }): UserConfig;
export declare function longTestsConfig(url: string): UserConfig;
