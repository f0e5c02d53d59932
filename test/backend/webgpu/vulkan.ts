/** Where a Vulkan driver is for tests: the system's own, or the one in software that Debian's Chromium brings along. */
import { existsSync, readdirSync } from "node:fs";

const CHROMIUM = "/usr/lib/chromium";
const driversOf = (folder: string): string[] => (existsSync(folder) ? readdirSync(folder) : []);

/** Variables that a process must have from its start. */
export function vulkanEnvironment(): Record<string, string> {
  const { VK_ICD_FILENAMES, VK_DRIVER_FILES, LD_LIBRARY_PATH } = process.env;
  const hasDriver = ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"].some((folder) => driversOf(folder).length > 0);
  const chosen = VK_ICD_FILENAMES ?? VK_DRIVER_FILES;
  if (chosen || hasDriver || !existsSync(`${CHROMIUM}/vk_swiftshader_icd.json`)) return {};
  // Its library finds the loader that lies beside it where the system has none.
  return {
    VK_ICD_FILENAMES: `${CHROMIUM}/vk_swiftshader_icd.json`,
    LD_LIBRARY_PATH: [CHROMIUM, LD_LIBRARY_PATH].filter(Boolean).join(":"),
  };
}
