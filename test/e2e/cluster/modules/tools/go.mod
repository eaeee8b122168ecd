// Marks this folder as a module. Each tool is pinned in a NAME.mod of its own, so that none's dependencies move another's; ../pin.sh writes them.
module tapline.dev/cluster/tools

go 1.26.0
