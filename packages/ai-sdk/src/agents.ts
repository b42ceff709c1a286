/**
 * Who said what: the registry in a response's metadata, and the agent in an item's id.
 *
 * The registry is a JSON array inside a metadata string (so it is parsed twice) and may be cut at the 512
 * characters of a metadata value; item ids are what counts. An id is `agent:<agent>[#<dispatch>]::<kind>_<n>`,
 * where the dispatch stands only if one agent is at work more than once.
 */

import { isObject, object, parse, string, type Json, type JsonObject } from "./json.ts";

export const MAIN = "MAIN";
/** What the metadata keys begin with unless a server was set up otherwise. */
export const EXTENSION_KEY = "x_alien";

export type AgentKind = "main" | "subagent" | "tool";

export interface AgentEntry {
  id: string;
  kind: AgentKind;
  name: string;
  parentId: string | null;
  dispatchedByToolCallId: string | null;
}

export interface Registry {
  root: string;
  entries: AgentEntry[];
  /** Not all agents fitted; the others are known by their item ids alone. */
  truncated: boolean;
}

const ITEM = /^agent:(.+)::([a-z]+)_(\d+)$/s;

/** Whose an item is, of which kind, and its place in the run; undefined where ids do not say. */
export function itemPlace(id: string): { agent: string; kind: string; number: number } | undefined {
  const [, agent, kind, number] = ITEM.exec(id) ?? [];
  return agent && kind && number ? { agent, kind, number: Number(number) } : undefined;
}

/** The registry of a response, or undefined when it brings none. */
export function parseRegistry(response: JsonObject, key = EXTENSION_KEY): Registry | undefined {
  const metadata = object(response, "metadata");
  const told = string(metadata, `${key}_agent_registry`);
  const entries = told === undefined ? undefined : parse(told);
  if (!Array.isArray(entries)) return undefined;
  return {
    root: string(metadata, `${key}_root_agent_id`) ?? MAIN,
    entries: entries.flatMap(entry),
    truncated: `${key}_registry_truncated` in metadata,
  };
}

function entry(value: Json): AgentEntry[] {
  const id = isObject(value) ? string(value, "id") : undefined;
  if (!isObject(value) || id === undefined) return [];
  const kind = string(value, "kind");
  return [
    {
      id,
      kind: kind === "main" || kind === "tool" ? kind : "subagent",
      name: string(value, "name") ?? id,
      parentId: string(value, "parent_id") ?? null,
      dispatchedByToolCallId: string(value, "dispatched_by_tool_call_id") ?? null,
    },
  ];
}

/** An agent's line under the name its items carry; one that the registry lacks is the root's subagent. */
export function findAgent(registry: Registry, agent: string): AgentEntry {
  const named = (id: string) => registry.entries.find((each) => each.id === id);
  const plain = agent.split("#", 1)[0] ?? agent;
  const found = named(agent) ?? named(plain);
  if (found !== undefined) return { ...found, id: agent };
  const kind = agent === registry.root ? "main" : "subagent";
  const parentId = kind === "main" ? null : registry.root;
  return { id: agent, kind, name: plain, parentId, dispatchedByToolCallId: null };
}
