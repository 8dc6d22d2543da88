import type { UserConfig } from 'vitest/config';

export declare function packageConfig(url: string): UserConfig;
export declare function longTestsConfig(url: string): UserConfig;
export declare function allTestsConfig(root: string): UserConfig;
