/**
 * Reading JSON that another program wrote: a field of the wrong kind is read as one that is not there, so
 * that nothing a server sends can throw here.
 */

export type Json = null | boolean | number | string | Json[] | JsonObject;
export type JsonObject = { [field: string]: Json };

export function parse(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return undefined;
  }
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function object(of: JsonObject, field: string): JsonObject {
  const value = of[field];
  return isObject(value) ? value : {};
}

export function objects(of: JsonObject, field: string): JsonObject[] {
  const value = of[field];
  return Array.isArray(value) ? value.filter(isObject) : [];
}

export function string(of: JsonObject, field: string): string | undefined {
  const value = of[field];
  return typeof value === "string" ? value : undefined;
}

export function number(of: JsonObject, field: string): number | undefined {
  const value = of[field];
  return typeof value === "number" ? value : undefined;
}
