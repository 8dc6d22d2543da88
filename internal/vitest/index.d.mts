import type { UserConfig } from 'vitest/config';

export declare function packageConfig(url: string): UserConfig;
