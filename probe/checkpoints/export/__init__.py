"""Write a checkpoint in the layout of DSKD, for its code and other tools.

    OUT/SETTING/args.json                        what the recipe knows of DSKD's arguments
                projector_config.json            structures of the projectors; args.json names this file
                NOTES.txt                        what the layout cannot store
                epoch1_step2000_loss2.7183/      projector.pt, projector_config.json and the student's files

Nothing is invented: an argument that the recipe does not have is left out, and NOTES.txt says so.
`probe.checkpoints.adopt` can read the directory of the epoch again. The command is
``python -m probe.checkpoints.export``.
"""
